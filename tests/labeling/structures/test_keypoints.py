"""Joints against the mask, compared with a dilated whole image."""

import math

import cv2
import numpy as np
import pytest

from labeling.structures.keypoints import foot_reach_px, share_inside
from labeling.structures.masks import Mask
from tests.labeling.strategies import blobs, draw, joints

NOTHING = np.zeros((4, 4), dtype=np.bool_)


@pytest.mark.parametrize("seed", range(5))
def test_the_share_is_that_of_a_mask_dilated_by_two_per_cent_of_its_height(seed: int) -> None:
    image = blobs(seed, (300, 200))[0]
    mask = Mask.from_array(image)
    margin = max(1, round(0.02 * mask.box_xywh[3]))
    square = np.ones((2 * margin + 1, 2 * margin + 1), dtype=np.uint8)
    dilated = cv2.dilate(image.astype(np.uint8), square) > 0
    rng = np.random.default_rng(seed)
    keypoints = tuple((x, y, c) for x, y, c in rng.uniform((0, 0, 0), (200, 300, 1), (400, 3)).tolist())
    confident = [bool(dilated[int(y), int(x)]) for x, y, c in keypoints if c >= 0.5]
    result = share_inside(keypoints, mask, min_keypoint_score=0.5)
    assert result == sum(confident) / len(confident)
    assert 0.1 < result < 0.9


def test_a_keypoint_one_pixel_beside_a_small_mask_is_inside_and_two_is_not() -> None:
    mask = Mask.from_array(draw("......", ".##...", ".##...", "......"))
    assert share_inside(joints((3.9, 1.0)), mask, min_keypoint_score=0.5) == 1.0
    assert share_inside(joints((4.0, 1.0)), mask, min_keypoint_score=0.5) == 0.0
    assert share_inside(joints((0.0, 0.0)), mask, min_keypoint_score=0.5) == 1.0


@pytest.mark.parametrize(
    "position", [(-0.1, 1), (1, -0.1), (4, 1), (1, 4), (math.nan, 1), (math.inf, 1), (1e20, 1)]
)
def test_a_keypoint_outside_the_image_is_outside_the_mask(position: tuple[float, float]) -> None:
    full = Mask.from_array(~NOTHING)
    assert share_inside(joints((1, 1), position), full, min_keypoint_score=0.5) == 0.5


def test_keypoints_in_an_empty_mask_are_outside() -> None:
    assert share_inside(joints((1, 1)), Mask.from_array(NOTHING), min_keypoint_score=0.5) == 0.0


def test_only_confident_keypoints_count() -> None:
    mask = Mask.from_array(draw("##....", "##....", "......"))
    keypoints = ((0.0, 0.0, 0.5), (5.0, 2.0, 0.49), (5.0, 2.0, math.nan))
    assert share_inside(keypoints, mask, min_keypoint_score=0.5) == 1.0
    assert share_inside(keypoints, mask, min_keypoint_score=0.6) is None
    assert share_inside((), mask, min_keypoint_score=0.0) is None


def leg(bottom: int) -> Mask:
    """A leg in columns 48 to 51 that ends with row `bottom` - 1, of a body of 100 px."""
    image = np.zeros((120, 100), dtype=np.bool_)
    image[:bottom, 48:52] = True
    return Mask.from_array(image)


@pytest.mark.parametrize(
    ("bottom", "reach_px"), [(110, 10.0), (101, 1.0), (100, 0.0), (90, 0.0), (120, 16.0)]
)
def test_the_reach_is_from_the_ankle_to_the_lower_edge_of_the_mask(bottom: int, reach_px: float) -> None:
    assert foot_reach_px(leg(bottom), (50.0, 100.0), 100.0) == reach_px


def test_the_reach_counts_from_the_ankles_own_position() -> None:
    assert foot_reach_px(leg(110), (50.0, 99.5), 100.0) == 10.5


@pytest.mark.parametrize(("x", "reach_px"), [(43.0, 10.0), (42.9, 0.0), (56.9, 10.0), (57.0, 0.0)])
def test_the_foot_may_lie_beside_the_ankle(x: float, reach_px: float) -> None:
    assert foot_reach_px(leg(110), (x, 100.0), 100.0) == reach_px


def test_pixels_far_below_are_no_foot() -> None:
    image = np.zeros((120, 100), dtype=np.bool_)
    image[:50, 48:52] = True
    image[66:, 48:52] = True
    assert foot_reach_px(Mask.from_array(image), (50.0, 50.0), 100.0) == 0.0
    image[65, 48] = True
    assert foot_reach_px(Mask.from_array(image), (50.0, 50.0), 100.0) == 16.0


@pytest.mark.parametrize(
    "ankle", [(50.0, 130.0), (-20.0, 50.0), (130.0, 50.0), (math.nan, 50.0), (50.0, math.inf)]
)
def test_an_ankle_outside_the_image_has_no_foot(ankle: tuple[float, float]) -> None:
    assert foot_reach_px(leg(120), ankle, 100.0) == 0.0
