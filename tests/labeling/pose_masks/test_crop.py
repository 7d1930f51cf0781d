"""The crop around a person: its size, and that points and pixels go to the same places."""

import cv2
import numpy as np
import pytest

from labeling.pose_masks.crop import PersonCrop
from labeling.pose_masks.prior import joints_of
from labeling.structures.instances import COCO_KEYPOINTS
from tests.labeling.pose_masks.test_prior import SHOULDERS, keypoints


def test_the_crop_is_the_box_and_a_torso_around_a_whole_person() -> None:
    crop = PersonCrop.around(joints_of(keypoints(*COCO_KEYPOINTS)))
    height = 212 - (72 - 22 / 0.55)
    assert crop.side == pytest.approx(max(1.3 * height, height + 58))
    assert crop.y0 + crop.side / 2 == pytest.approx((212 + 72 - 22 / 0.55) / 2)


def test_the_crop_of_two_shoulders_is_larger_than_their_box() -> None:
    crop = PersonCrop.around(joints_of(keypoints(*SHOULDERS)))
    assert crop.side == pytest.approx(36 + 1.3 * 36)


def test_one_joint_has_a_crop() -> None:
    assert PersonCrop.around(joints_of(keypoints("left_knee"))).side == 8


@pytest.mark.parametrize("side", [37.0, 100.0, 330.0])
def test_points_and_pixels_go_to_the_same_place_and_back(side: float) -> None:
    image = np.zeros((200, 220, 3), np.uint8)
    cv2.circle(image, (120, 90), 12, (255, 255, 255), -1)
    crop = PersonCrop(120.5 - side * 0.4, 90.5 - side * 0.6, side, 128)
    grid = crop.cut(image)[..., 0] / 255
    rows, columns = np.mgrid[0:128, 0:128] + 0.5
    center = [(columns * grid).sum() / grid.sum(), (rows * grid).sum() / grid.sum()]
    joints = np.zeros((14, 3))
    joints[3] = (120.5, 90.5, 1)
    assert center == pytest.approx(crop.to_grid(joints)[3, :2].tolist(), abs=0.35)
    back = crop.paste(grid.astype(np.float32), (200, 220))
    assert ((back > 0.5) & (image[..., 0] > 0)).sum() >= 0.9 * (image[..., 0] > 0).sum()


def test_a_crop_beyond_the_border_is_black_there() -> None:
    crop = PersonCrop(-50, -50, 100, 64)
    grid = crop.cut(np.full((80, 80, 3), 200, np.uint8))
    assert not grid[:31, :31].any()
    assert (grid[33:, 33:] == 200).all()
