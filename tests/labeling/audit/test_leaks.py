"""Images of two files: the same, saved again, cropped, mirrored, and others."""

import cv2
import numpy as np
import pytest

from labeling.audit.leaks import SplitImages, find_leaks
from labeling.datasets.splits.similarity import NEAR
from labeling.structures.frames import RgbImage


def photo(seed: int) -> RgbImage:
    """Smooth noise, as different from another seed's as photos are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def images_of(split: str, **images: RgbImage) -> SplitImages:
    made = SplitImages(split)
    for name, rgb in images.items():
        made.add(name, rgb)
    return made


def saved_again(rgb: RgbImage) -> RgbImage:
    """Return the image at another size, brighter, after JPEG of low quality."""
    brighter = np.clip(rgb[::2, ::2].astype(np.int16) + 12, 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", brighter, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)


COPIES = {
    "saved again": saved_again(photo(2)),
    "cropped": photo(2)[12:228, 16:304],
    "mirrored": np.ascontiguousarray(photo(2)[:, ::-1]),
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("more", [0, 2])  # whichever file is the larger one
def test_a_copy_is_found_in_the_other_file(copy: str, more: int) -> None:
    train = images_of("train", a=photo(1), b=photo(2), c=photo(3))
    val = images_of(
        "val", x=photo(4), y=COPIES[copy], **{f"z{seed}": photo(10 + seed) for seed in range(more)}
    )
    (found,) = find_leaks([train, val], min_similarity=NEAR)
    assert (found.first, found.second) == (("train", "b"), ("val", "y"))
    assert found.similarity > 0.9


def test_images_of_one_file_are_not_compared_and_all_pairs_of_files_are() -> None:
    splits = [images_of("a", p=photo(1), q=photo(1)), images_of("b"), images_of("c", r=photo(1))]
    (found,) = find_leaks(splits, min_similarity=0.99)
    assert found.first[0] == "a"
    assert found.second == ("c", "r")
    assert found.similarity == pytest.approx(1.0, abs=1e-3)
    assert find_leaks(splits[:1], min_similarity=0.0) == []
