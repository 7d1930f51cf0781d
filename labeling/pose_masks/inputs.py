"""Arrays of the network's input, the same in training and use."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from labeling.pose_masks.prior import (
    PRIOR_SIDE_PX,
    FloatArray,
    FloatImage,
    draw_pose_map,
    draw_prior,
    prior_logit,
)
from labeling.structures.frames import RgbImage

NAMES = ("image", "pose", "prior_logit")
"""Inputs of the network, in order."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseMaskInput:
    """Input for one person in one crop."""

    image: FloatImage
    """3 x S x S in [-1, 1]."""
    pose: FloatImage
    """16 x S/2 x S/2: 14 joints, the prior of the person, and that of the others."""
    prior_logit: FloatImage
    """1 x S x S."""


def make_pose_input(rgb: RgbImage, joints: FloatArray, others: Sequence[FloatArray] = ()) -> PoseMaskInput:
    """Make the input from a crop, SxSx3, and joints (14x3) in units of a 256 px crop."""
    side = rgb.shape[0]
    prior = draw_prior(joints, side)
    others_prior = np.zeros((side // 2, side // 2), dtype=np.float32)
    for other in others:
        np.maximum(others_prior, draw_prior(other, side // 2), out=others_prior)
    half = cv2.resize(prior, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    pose = np.concatenate([draw_pose_map(joints, side // 2), half[None], others_prior[None]])
    image = rgb.transpose(2, 0, 1).astype(np.float32) / np.float32(127.5) - 1
    return PoseMaskInput(np.ascontiguousarray(image), pose.astype(np.float32), prior_logit(prior)[None])


def in_prior_units(joints: FloatArray, side: int) -> FloatArray:
    """Return joints of an S px crop in units of a 256 px crop."""
    scaled = joints.copy()
    scaled[:, :2] *= PRIOR_SIDE_PX / side
    return scaled
