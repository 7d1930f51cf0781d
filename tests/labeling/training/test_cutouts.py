"""Cut-outs: their size, alpha, keypoints, and no rim of the old background."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.errors import ConfigError
from labeling.structures.cutouts import NO_KEYPOINTS
from labeling.structures.instances import Instance, Keypoints
from labeling.structures.masks import Mask
from labeling.training.cutouts import (
    MAX_SIDE_PX,
    cut_out,
    find_keypoints,
    fingerprint_cutouts,
    is_usable,
    read_cutout,
)

SIZE_HW = (200, 160)


def person(left: int = 50, width: int = 50, height: int = 120) -> Mask:
    pixels = np.zeros(SIZE_HW, np.uint8)
    pixels[40 : 40 + height, left : left + width] = 1
    return Mask.from_array(pixels)


def red_person_on_green(mask: Mask) -> NDArray[np.uint8]:
    """The person's border shows half of the background, as a camera's does."""
    rgb = np.zeros((*SIZE_HW, 3), np.uint8)
    rgb[:] = (0, 200, 0)
    inside = mask.to_array().astype(np.uint8)
    inner = cv2.erode(inside, np.ones((3, 3), np.uint8))
    rgb[inside > 0] = (100, 100, 0)
    rgb[inner > 0] = (200, 0, 0)
    return rgb


def test_a_cutout_has_no_rim_of_its_old_background() -> None:
    mask = person()
    cutout = cut_out(red_person_on_green(mask), mask)
    inside = cutout.alpha > 0.5
    assert inside.sum() == mask.area_px
    assert cutout.rgb[inside][:, 0].min() > 195
    assert cutout.rgb[inside][:, 1].max() < 5


def test_keypoints_move_with_the_cut() -> None:
    mask = person()
    keypoints = ((75.0, 100.0, 0.9),) * 17
    cutout = cut_out(red_person_on_green(mask), mask, keypoints)
    assert cutout.keypoints[0] == (75.0 - 44, 100.0 - 34, 0.9)  # the margin is 6 px


@pytest.mark.parametrize(
    ("mask", "usable"),
    [
        (person(), True),
        (person(height=60), False),
        (person(width=20), False),
        (person(left=0), False),
        (person(left=SIZE_HW[1] - 50), False),
    ],
)
def test_small_people_and_those_at_the_sides_are_not_used(mask: Mask, usable: bool) -> None:
    assert is_usable(mask) is usable


def found_person(mask: Mask, keypoints: Keypoints | None) -> Instance:
    return Instance(mask, 0.9, mask.box_xywh, keypoints)


def test_keypoints_are_those_of_the_person_with_the_same_mask() -> None:
    keypoints = ((1.0, 2.0, 0.5),) * 17
    near, far = found_person(person(left=52), keypoints), found_person(person(left=100), NO_KEYPOINTS)
    assert find_keypoints(person(), [far, near]) == keypoints
    assert find_keypoints(person(), [far]) == NO_KEYPOINTS
    assert find_keypoints(person(), [found_person(person(), None)]) == NO_KEYPOINTS
    assert find_keypoints(person(), []) == NO_KEYPOINTS


def save_rgba(path: Path, size_hw: tuple[int, int]) -> Path:
    rgba = np.zeros((*size_hw, 4), np.uint8)
    quarter = tuple(slice(side // 4, 3 * side // 4) for side in size_hw)
    rgba[quarter] = (0, 0, 220, 255)
    rgba[size_hw[0] // 4, quarter[1], 3] = 128
    assert cv2.imwrite(str(path), rgba)
    return path


def test_a_png_with_transparency_is_read_with_its_alpha(tmp_path: Path) -> None:
    cutout = read_cutout(save_rgba(tmp_path / "one.png", (80, 40)))
    assert cutout.alpha.shape == (48, 28)
    assert cutout.alpha[4, 14] == pytest.approx(128 / 255)
    assert cutout.alpha[20, 14] == 1
    assert cutout.rgb[20, 14].tolist() == [220, 0, 0]
    assert cutout.keypoints == NO_KEYPOINTS


def test_a_large_cutout_is_reduced(tmp_path: Path) -> None:
    cutout = read_cutout(save_rgba(tmp_path / "one.png", (4096, 64)))
    assert cutout.alpha.shape[0] == MAX_SIDE_PX
    assert cutout.rgb.shape[:2] == cutout.alpha.shape


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((9, 9, 3), np.uint8), "has no alpha channel: save it as a PNG"),
        (np.zeros((9, 9, 4), np.uint8), "is wholly transparent: remove it"),
    ],
)
def test_an_image_without_a_person_is_an_error(
    image: NDArray[np.uint8], message: str, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), image)
    with pytest.raises(ConfigError, match=rf"cut-out {tmp_path / 'one.png'} {message}"):
        read_cutout(tmp_path / "one.png")


def test_the_fingerprint_changes_with_a_pixel_and_with_a_keypoint() -> None:
    mask = person()
    rgb = red_person_on_green(mask)
    first = fingerprint_cutouts([cut_out(rgb, mask)])
    assert first == fingerprint_cutouts([cut_out(rgb, mask)])
    changed = rgb.copy()
    changed[100, 75] = 7
    moved = ((75.0, 100.0, 0.9),) * 17
    others = {fingerprint_cutouts([cut_out(changed, mask)]), fingerprint_cutouts([cut_out(rgb, mask, moved)])}
    assert len({first, *others}) == 3
