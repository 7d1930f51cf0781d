"""The background plate of a clip, brought to the position and light of one of its frames."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.background.camera_motion import estimate_homography, warp_to_reference
from labeling.background.coverage import MaskedPlate
from labeling.background.illumination import fit_gain_bias, relight
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, union_masks

EXCLUDED_PX = 9
"""Pixels around people that do not count when a frame's light is compared with the plate's."""


def fit_plate(plate: MaskedPlate, rgb: RgbImage, people: Sequence[Instance]) -> tuple[RgbImage, BoolArray]:
    """Return the plate as the frame would show it, HxWx3, and where it is known, HxW."""
    excluded = around_people(people, (rgb.shape[0], rgb.shape[1]))
    aligned, is_seen = _align(plate, rgb, excluded)
    return relight(aligned, *fit_gain_bias(rgb, aligned, excluded)), is_seen


def around_people(people: Sequence[Instance], size_hw: tuple[int, int]) -> BoolArray:
    """Return the pixels of people and of a rim around them, HxW."""
    pixels = union_masks([person.mask for person in people], size_hw).to_array().astype(np.uint8)
    return cv2.dilate(pixels, np.ones((EXCLUDED_PX, EXCLUDED_PX), np.uint8)).astype(np.bool_)


def _align(
    plate: MaskedPlate, rgb: RgbImage, excluded: NDArray[np.bool_]
) -> tuple[RgbImage, NDArray[np.bool_]]:
    """Bring the plate to the position of a frame, if the camera moves."""
    if not plate.is_stabilized:
        return plate.rgb, plate.valid
    homography = estimate_homography(rgb, plate.rgb, excluded)
    if homography is None:
        return plate.rgb, plate.valid
    to_plate = np.asarray(np.linalg.inv(homography), dtype=np.float64)
    return warp_to_reference(plate.rgb, plate.valid, to_plate)  # here the frame is the reference
