"""The plate from person masks, on planted scenes whose background is known."""

import resource
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from configs.errors import CameraMoves, DiskFull, EmptyVideo, ModelOutputWrong
from configs.matting import PlateBlock
from labeling.background.coverage import Coverage
from labeling.background.masked_plate import build_plate
from labeling.background.plate import masked_median
from labeling.structures.frames import Clip, Frame, ImageFile, RgbImage
from labeling.structures.masks import BoolArray, Mask, union_masks
from labeling.synthetic.scene import Scene, render_scene
from labeling.video.images import read_image
from tests.fakes.videos import write_numbered_video
from tests.labeling.background.planted import (
    PlantedPeople,
    add_noise,
    columns,
    plate_of,
    shake,
    texture,
    view,
    walk,
)
from tests.labeling.segmenters.images import VIDEO_ID, save_images

EMPTY = np.zeros((96, 240), dtype=bool)


def gray_error(first: RgbImage, second: RgbImage, where: BoolArray | None = None) -> float:
    """Return the mean absolute difference of the gray images (AGE of the SBMnet benchmark)."""
    grays = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float) for image in (first, second)]
    difference = np.abs(grays[0] - grays[1])
    return float(difference.mean() if where is None else difference[where].mean())


def relit_error(rgb: RgbImage, background: NDArray[Any]) -> float:
    """Return the mean absolute difference from the background after the best gain and bias for the whole image."""
    x, y = background.ravel().astype(float), rgb.ravel().astype(float)
    return float(np.abs(y - np.polyval(np.polyfit(x, y, 1), x)).mean())


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_the_plate_is_exactly_the_background_that_the_masks_leave_visible(
    tmp_path: Path, statistic: str
) -> None:
    background = texture()
    images, masks = walk(background, 12)
    plate = plate_of(images, masks, tmp_path, PlateBlock.model_validate({"statistic": statistic}))
    assert np.array_equal(plate.rgb, background)
    assert (plate.coverage == Coverage.SEEN).all()
    assert (plate.unseen_share, plate.warnings, plate.is_stabilized) == (0.0, (), False)
    assert plate.valid.all()


def test_pixels_are_unseen_exactly_where_the_dilated_masks_overlap_in_all_samples(tmp_path: Path) -> None:
    background = texture()
    masks = [columns(60 + 2 * i, 100 + 2 * i) for i in range(8)]
    plate = plate_of([background] * 8, masks, tmp_path)
    expected = columns(60 + 14 - 3, 100 + 3)  # 0.5 % of this diagonal is less than 3 pixels
    assert np.array_equal(plate.coverage != Coverage.SEEN, expected)
    assert plate.unseen_share == expected.mean()
    assert np.array_equal(plate.rgb[~expected], background[~expected])


@pytest.mark.slow
def test_masks_of_large_images_are_dilated_by_half_a_percent_of_the_diagonal(tmp_path: Path) -> None:
    size_hw = (720, 960)  # diagonal 1200
    background = texture(size_hw=size_hw)
    plate = plate_of([background] * 2, [columns(400, 500, size_hw)] * 2, tmp_path)
    assert np.array_equal(plate.coverage != Coverage.SEEN, columns(394, 506, size_hw))


def three_kinds_of_unseen_pixels() -> tuple[list[RgbImage], list[BoolArray]]:
    """A stripe that only frames between the samples show, a masked coat that never moves, a restless stripe."""
    background = texture()
    sampled = np.linspace(0, 39, 10).round().astype(int)
    images, masks = [], []
    for index in range(40):
        image = background.copy()
        if index in sampled:
            image[:, 20:30] = (200, 30, 30)
        image[:, 200:210] = np.random.default_rng(index).integers(0, 256, (96, 10, 3), dtype=np.uint8)
        images.append(image)
        masks.append((columns(20, 30) if index in sampled else EMPTY) | columns(100, 110) | columns(200, 210))
    return images, masks


@pytest.mark.slow
def test_unseen_pixels_come_from_other_frames_then_least_motion_then_inpainting(tmp_path: Path) -> None:
    images, masks = three_kinds_of_unseen_pixels()
    plate = plate_of(images, masks, tmp_path, PlateBlock(samples=10))
    expected = np.zeros((96, 240), dtype=np.uint8)
    for (start, stop), code in {
        (17, 33): Coverage.ALL_FRAMES,
        (97, 113): Coverage.LEAST_MOTION,
        (197, 213): Coverage.INPAINTED,
    }.items():
        expected[:, start:stop] = code
    assert np.array_equal(plate.coverage, expected)
    background = texture()
    found = expected < Coverage.INPAINTED
    assert np.array_equal(plate.rgb[found], background[found])
    around = background[:, [196, 213]]
    assert plate.rgb[:, 205].min() >= around.min() - 5
    assert plate.rgb[:, 205].max() <= around.max() + 5
    assert np.array_equal(plate.valid, expected <= Coverage.LEAST_MOTION)
    assert len(plate.warnings) == 1
    assert "20.0% of the background is visible in no sample" in plate.warnings[0]
    assert "6.7% was found in other frames, 6.7% taken where least moves, 6.7% inpainted" in plate.warnings[0]


@pytest.mark.slow
def test_a_covered_coat_is_kept_and_a_person_who_sways_is_inpainted_under_noise(tmp_path: Path) -> None:
    background, clothes = texture(), texture(seed=2)
    images = []
    for index in range(30):
        image = background.copy()
        sway = round(3 * np.sin(index))
        image[:, 180:210] = clothes[:, 30 + sway : 60 + sway]
        images.append(add_noise(image, 3, index))
    masks = [columns(60, 90) | columns(180, 210)] * 30
    plate = plate_of(images, masks, tmp_path)
    assert (plate.coverage[:, 57:93] == Coverage.LEAST_MOTION).all()
    assert (plate.coverage[:, 177:213] == Coverage.INPAINTED).all()
    assert gray_error(plate.rgb, background, columns(57, 93)) < 4


@pytest.mark.slow
def test_no_other_frame_is_searched_if_the_samples_show_everything_or_the_search_is_off(
    tmp_path: Path,
) -> None:
    images, masks = three_kinds_of_unseen_pixels()
    clip = save_images(images, tmp_path)
    people = PlantedPeople([EMPTY] * 40)
    build_plate(clip, people, PlateBlock(samples=10))
    assert people.calls == [8, 2]
    people = PlantedPeople(masks)
    plate = build_plate(clip, people, PlateBlock(samples=10, search_frames=0))
    assert people.calls == [8, 2]
    assert not (plate.coverage == Coverage.ALL_FRAMES).any()


@pytest.mark.slow
def test_the_search_ends_when_each_pixel_was_found_often_enough(tmp_path: Path) -> None:
    background = texture()
    masks = [columns(20, 30) if index in (0, 59) else EMPTY for index in range(60)]
    people = PlantedPeople(masks)
    plate = build_plate(save_images([background] * 60, tmp_path), people, PlateBlock(samples=2))
    assert (plate.coverage[:, 17:33] == Coverage.ALL_FRAMES).all()
    assert np.array_equal(plate.rgb, background)
    assert people.calls == [2, 8, 8]


def test_a_person_in_all_pixels_of_one_image_leaves_the_image_and_a_warning(tmp_path: Path) -> None:
    background = texture()
    plate = plate_of([background], [~EMPTY], tmp_path)
    assert not plate.valid.any()
    assert plate.warnings


def test_a_clip_without_people_gives_its_median(tmp_path: Path) -> None:
    background = texture()
    images = [add_noise(background, 2, seed) for seed in range(9)]
    plate = plate_of(images, [EMPTY] * 9, tmp_path)
    assert gray_error(plate.rgb, background) < 0.8
    assert plate.valid.all()


@pytest.mark.slow
def test_a_person_who_stands_in_60_percent_of_the_samples_leaves_no_trace(tmp_path: Path) -> None:
    background = texture()
    person = columns(100, 130)
    images, masks = [], []
    for index in range(40):
        is_there = 8 <= index < 32
        shown = np.where((person & is_there)[..., None], np.array([220, 20, 30], np.uint8), background)
        images.append(add_noise(shown, 2, index))
        masks.append(person & is_there)
    masked = plate_of(images, masks, tmp_path)
    still = plate_of(images, masks, tmp_path, PlateBlock(method="labgen_p"))
    plain = masked_median(np.stack(images))
    errors = [gray_error(rgb, background, person) for rgb in (masked.rgb, still.rgb, plain)]
    assert errors[0] < 1.0
    assert errors[1] > 10  # motion does not show which of two still things is the background
    assert errors[2] > 20
    assert (masked.coverage == Coverage.SEEN).all()
    assert (still.coverage[person] == Coverage.LEAST_MOTION).any()


@pytest.mark.slow
def test_the_least_motion_plate_needs_no_masks_for_people_who_walk(tmp_path: Path) -> None:
    background = texture()
    images, masks = walk(background, 40)
    plate = plate_of(images, masks, tmp_path, PlateBlock(method="labgen_p"))
    assert np.array_equal(plate.rgb, background)
    assert plate.valid.all()


@pytest.mark.slow
def test_drifting_light_is_removed_before_the_median(tmp_path: Path) -> None:
    background = texture()
    images, masks = walk(background, 21)
    for index, image in enumerate(images):
        lit = image * (0.7 + 0.03 * index) + (10 - index)
        images[index] = add_noise(lit, 1, index)
    plate = plate_of(images, masks, tmp_path)
    plain = masked_median(np.stack(images), ~np.stack(masks))
    errors = [relit_error(rgb, background) for rgb in (plate.rgb, plain)]
    assert errors[0] < 0.7
    assert errors[1] > 2


@pytest.mark.slow
def test_a_shaking_camera_is_stabilized(tmp_path: Path) -> None:
    margin, size_hw = 16, (180, 320)
    wide = texture(size_hw=(size_hw[0] + 2 * margin, size_hw[1] + 2 * margin))
    images, masks = walk(view(wide, np.eye(3), margin), 16)
    for index, mask in enumerate(masks):
        moved = view(wide, shake(images[0], index, largest_px=6), margin)
        images[index] = np.where(mask[..., None], images[index], moved)
    plate = plate_of(images, masks, tmp_path)
    assert plate.is_stabilized
    assert 1 < plate.shift_px < 10
    assert "aligned" in plate.warnings[0]
    inner = np.zeros(size_hw, dtype=bool)
    inner[12:-12, 12:-12] = True
    errors = [
        gray_error(plate.rgb, view(wide, shake(images[0], i, largest_px=6), margin), inner) for i in range(16)
    ]
    plain = masked_median(np.stack(images), ~np.stack(masks))
    plain_errors = [
        gray_error(plain, view(wide, shake(images[0], i, largest_px=6), margin), inner) for i in range(16)
    ]
    assert min(errors) < 1.5  # the view of the reference
    assert min(plain_errors) > 6


def test_a_tenth_of_the_samples_may_show_another_view(tmp_path: Path) -> None:
    background, other = texture(), texture(seed=1)
    images, masks = walk(background, 20)
    images[4], images[12] = other, other
    plate = plate_of(images, masks, tmp_path, PlateBlock(statistic="mean"))
    assert np.array_equal(plate.rgb, background)


def test_a_cut_to_another_scene_is_refused(tmp_path: Path) -> None:
    images = [texture()] * 12 + [texture(seed=1)] * 8
    with pytest.raises(CameraMoves, match=r"8 of 20 samples.*one shot"):
        plate_of(images, [EMPTY] * 20, tmp_path)


@pytest.mark.slow
def test_a_pan_is_refused(tmp_path: Path) -> None:
    wide = texture(size_hw=(96, 1000))
    images = [np.ascontiguousarray(wide[:, left : left + 240]) for left in range(0, 760, 40)]
    with pytest.raises(CameraMoves, match="the camera moves"):
        plate_of(images, [EMPTY] * len(images), tmp_path)


def test_an_empty_clip_is_an_error() -> None:
    with pytest.raises(EmptyVideo, match="no readable image"):
        build_plate(Clip(VIDEO_ID), PlantedPeople([]), PlateBlock())


def test_images_of_several_sizes_and_wrong_masks_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelOutputWrong, match=r"240x96.*120x96"):
        plate_of([texture(), texture(size_hw=(96, 120))], [EMPTY, EMPTY[:, :120]], tmp_path)
    with pytest.raises(ModelOutputWrong, match=r"120x96"):
        plate_of([texture()] * 2, [EMPTY[:, :120]] * 2, tmp_path)
    with pytest.raises(ModelOutputWrong, match="0 masks for 2 frames"):
        build_plate(save_images([texture()] * 2, tmp_path), lambda _: [], PlateBlock())


def test_unknown_settings_are_errors() -> None:
    with pytest.raises(ValidationError, match="dilate"):
        PlateBlock.model_validate({"dilate": 3})


def test_the_frames_of_a_video_are_used_once_each(tmp_path: Path) -> None:
    video = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=20)
    keys: list[int] = []

    def find_people(frames: Sequence[Frame]) -> list[Mask]:
        keys.extend(frame.key for frame in frames)
        return [Mask.from_array(np.ones((96, 144)))] * len(frames)

    build_plate(Clip(VIDEO_ID, video), find_people, PlateBlock(samples=4))
    assert len(keys) == len(set(keys)) == 20


@pytest.mark.slow
def test_the_plate_of_a_rendered_video_is_its_empty_room(tmp_path: Path) -> None:
    """The scene has noise, shadows, a lamp that is switched on, and H.264 artifacts."""
    scene = Scene(seconds=20, fps=Fraction(5), size_hw=(136, 240))
    video = render_scene(tmp_path / "v.mp4", seconds=20, fps=Fraction(5), size_hw=(136, 240))

    def find_people(frames: Sequence[Frame]) -> list[Mask]:
        indices = [round(frame.t * 5) for frame in frames]
        return [union_masks(scene.frame(index)[1], scene.size_hw) for index in indices]

    plate = build_plate(Clip(VIDEO_ID, video), find_people, PlateBlock(samples=50))
    assert not plate.is_stabilized
    assert plate.valid.mean() > 0.99
    empty = np.mean([scene.frame(index)[0] for index in range(8)], axis=0)
    assert relit_error(plate.rgb, empty) < 3


@pytest.mark.slow
def test_memory_holds_a_part_of_the_samples(tmp_path: Path) -> None:
    size_hw = (360, 480)
    file = save_images([texture(size_hw=size_hw)], tmp_path).images[0]
    clip = Clip(VIDEO_ID, images=tuple(ImageFile(i, file.path) for i in range(100)))
    people = PlantedPeople([columns(4 * i, 4 * i + 40, size_hw) for i in range(100)])
    tracemalloc.start()
    build_plate(clip, people, PlateBlock(samples=100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * 100 * 360 * 480 * 3


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_100_samples_of_1080p_need_less_than_250_mb(tmp_path: Path) -> None:
    save_images([texture(size_hw=(1080, 1920))], tmp_path)
    code = """
        import resource, sys
        import numpy as np
        from pathlib import Path
        from configs.matting import PlateBlock
        from labeling.background.masked_plate import build_plate
        from labeling.structures.frames import Clip, ImageFile
        from labeling.structures.masks import Mask

        (path,) = Path(sys.argv[1]).glob("*.png")
        mask = Mask.from_array(np.indices((1080, 1920))[1] < 600)
        clip = Clip("ab" * 32, images=tuple(ImageFile(i, path) for i in range(100)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        build_plate(clip, lambda frames: [mask] * len(frames), PlateBlock())
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) < 250


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    clip = save_images([texture()] * 4, tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DiskFull, match=r"sample 2.*TMPDIR"):
            build_plate(clip, PlantedPeople([EMPTY] * 4), PlateBlock())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.shared
def test_a_person_in_half_of_the_frames_of_a_real_office_is_not_in_the_plate(shared: Path) -> None:
    """CDnet 2012 baseline/office: no person before frame 570, then one stands; masks are the ground truth."""
    office = shared / "data" / "cdnet_office"
    files = sorted((office / "input").glob("*.jpg"))[200:1100]
    clip = Clip(VIDEO_ID, images=tuple(ImageFile(i, path) for i, path in enumerate(files)))

    def find_people(frames: Sequence[Frame]) -> list[Mask]:
        masks = []
        for frame in frames:
            name = frame.name.replace("in", "gt").replace("jpg", "png")
            labels = np.asarray(cv2.imread(str(office / "groundtruth" / name), cv2.IMREAD_GRAYSCALE))
            masks.append(Mask.from_array(np.isin(labels, (170, 255))))
        return masks

    plate = build_plate(clip, find_people, PlateBlock(samples=60))
    empty = masked_median(
        np.stack([read_image(path) for path in sorted((office / "input").glob("*.jpg"))[:200:10]])
    )
    assert plate.valid.all()
    assert gray_error(plate.rgb, empty) < 2
