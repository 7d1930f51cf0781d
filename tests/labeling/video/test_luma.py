"""Sharpness, hashes and cuts, on drawn and on real images."""

import io
from collections.abc import Iterator
from itertools import pairwise, permutations
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import laplace

from labeling.structures.frames import Clip, ImageFile, LumaImage
from labeling.video.decode import decode_clip
from labeling.video.luma import hash_luma, measure_sharpness
from labeling.video.shots import begins_a_shot
from tests.fakes import videos

CUT = 30.0


def scene(seed: int) -> LumaImage:
    return videos.textured_scene(seed, (48, 64))(0)[:, :, 0]


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    luma = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    reference = laplace(luma.astype(np.float64), mode="mirror").var()
    assert measure_sharpness(luma) == pytest.approx(reference)
    assert measure_sharpness(np.full((40, 60), 90, np.uint8)) == 0


def test_blur_lowers_sharpness() -> None:
    luma = np.random.default_rng(0).integers(0, 256, (120, 160), dtype=np.uint8)
    values = [
        measure_sharpness(np.asarray(cv2.GaussianBlur(luma, (0, 0), s), np.uint8)) for s in (0.5, 1.5, 3)
    ]
    assert values == sorted(values, reverse=True)


def test_a_hash_has_256_bits_and_differs_between_scenes() -> None:
    assert hash_luma(scene(1)).hash.size == 256
    assert hash_luma(scene(1)) - hash_luma(scene(1)) == 0
    assert hash_luma(scene(1)) - hash_luma(scene(2)) > 60


def test_another_scene_or_another_size_begins_a_shot() -> None:
    for a, b in permutations(range(3), 2):
        assert begins_a_shot(scene(a), scene(b), shot_threshold=CUT)
    assert begins_a_shot(scene(1), scene(1)[:40], shot_threshold=CUT)


def test_light_noise_and_small_differences_begin_no_shot() -> None:
    rng = np.random.default_rng(0)
    for seed in range(6):
        before = scene(seed)
        brighter = np.clip(before * 1.5 + 20, 0, 255).astype(np.uint8)
        noisy = np.clip(before + rng.normal(0, 25, before.shape), 0, 255).astype(np.uint8)
        assert float(np.abs(brighter.astype(int) - before).mean()) > CUT
        assert not begins_a_shot(before, brighter, shot_threshold=CUT)
        assert not begins_a_shot(before, before // 3, shot_threshold=CUT)
        assert not begins_a_shot(before, noisy, shot_threshold=CUT)


def test_motion_that_only_moves_levels_begins_no_shot() -> None:
    before = scene(3)
    moved = np.roll(before, 16, axis=1)
    assert float(np.abs(moved.astype(int) - before).mean()) > CUT
    assert not begins_a_shot(before, moved, shot_threshold=CUT)


def test_the_shot_threshold_decides() -> None:
    difference = float(np.abs(scene(1).astype(int) - scene(2)).mean())
    assert begins_a_shot(scene(1), scene(2), shot_threshold=difference - 1)
    assert not begins_a_shot(scene(1), scene(2), shot_threshold=difference + 1)


def album(folder: Path, every: int) -> Clip:
    files = sorted(path for path in folder.iterdir() if path.suffix in {".jpg", ".png"})[::every]
    return Clip("album", images=tuple(ImageFile(i, path) for i, path in enumerate(files)))


def real_luma(shared: Path, width_px: int) -> Iterator[LumaImage]:
    for folder, every in (("pennfudan/images", 4), ("coco_mini/train2017", 4), ("cdnet_office/input", 60)):
        for decoded in decode_clip(album(shared / "data" / folder, every)):
            yield decoded.scaled_luma(width_px)


@pytest.mark.shared
def test_the_presets_sharpness_keeps_real_images_and_rejects_their_blurred_copies(shared: Path) -> None:
    for luma in real_luma(shared, 640):
        blurred = np.asarray(cv2.GaussianBlur(luma, (0, 0), 3), np.uint8)
        assert measure_sharpness(luma) > 20 > measure_sharpness(blurred)


@pytest.mark.shared
def test_most_copies_of_an_image_lie_within_four_bits(shared: Path) -> None:
    distances = []
    for luma in real_luma(shared, 640):
        packed = io.BytesIO()
        Image.fromarray(luma).save(packed, "JPEG", quality=50)
        distances.append(hash_luma(luma) - hash_luma(np.asarray(Image.open(packed))))
    assert np.percentile(distances, 95) <= 4


@pytest.mark.shared
def test_walking_people_are_no_duplicates_within_four_bits(shared: Path) -> None:
    clip = Clip("pets", shared / "data/pets2009_s2l1/vtest.avi")
    hashes = [hash_luma(d.scaled_luma(640)) for i, d in enumerate(decode_clip(clip)) if i % 5 == 0]
    distances = [a - b for a, b in pairwise(hashes)]
    assert len(distances) == 158
    assert np.mean([d > 4 for d in distances]) > 0.98
    assert np.median(distances) > 25
