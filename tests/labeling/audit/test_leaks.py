"""Images of two splits: the same, saved again, and others."""

import cv2
import numpy as np
import pytest

from labeling.audit import leaks
from labeling.audit.leaks import SplitHashes, find_leaks
from labeling.structures.frames import RgbImage


def photo(seed: int) -> RgbImage:
    """Smooth noise, as different from another seed's as photos are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def hashed(split: str, **images: RgbImage) -> SplitHashes:
    hashes = SplitHashes(split)
    for name, rgb in images.items():
        hashes.add(name, rgb)
    return hashes


def saved_again(rgb: RgbImage) -> RgbImage:
    """Return the image at another size, brighter, after JPEG of low quality."""
    brighter = np.clip(rgb[::2, ::2].astype(np.int16) + 12, 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", brighter, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)


def test_an_image_that_was_saved_again_is_found_in_the_other_split() -> None:
    train = hashed("train", a=photo(1), b=photo(2), c=photo(3))
    val = hashed("val", x=photo(4), y=saved_again(photo(2)))
    (found,) = find_leaks([train, val], max_distance=32)
    assert (found.first, found.second) == (("train", "b"), ("val", "y"))
    assert found.distance <= 32


def test_images_of_one_split_are_not_compared_and_all_pairs_of_splits_are() -> None:
    splits = [hashed("a", p=photo(1), q=photo(1)), hashed("b"), hashed("c", r=photo(1), s=photo(5))]
    found = find_leaks(splits, max_distance=0)
    assert [(one.first, one.second, one.distance) for one in found] == [
        (("a", "p"), ("c", "r"), 0),
        (("a", "q"), ("c", "r"), 0),
    ]


def test_the_result_does_not_depend_on_the_number_of_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = hashed("a", **{str(seed): photo(seed) for seed in range(7)})
    second = hashed("b", **{str(seed): photo(seed) for seed in range(4, 9)})
    expected = find_leaks([first, second], max_distance=90)
    monkeypatch.setattr(leaks, "_ROWS", 2)
    assert find_leaks([first, second], max_distance=90) == expected
    assert {(one.first[1], one.second[1]) for one in expected if one.distance == 0} == {
        (str(seed), str(seed)) for seed in range(4, 7)
    }
