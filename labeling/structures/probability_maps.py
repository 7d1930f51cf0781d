"""From one map of person probabilities to instances, for networks that tell people from the rest only."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.components import find_components
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask

FloatMap = NDArray[np.float32]
"""HxW."""
CLEAR_ODDS = 3
"""A pixel is decided where the odds of a person are so many times those at which the mask begins."""


def resize_image(rgb: RgbImage, size_hw: tuple[int, int]) -> RgbImage:
    """Scale without keeping proportions: averaging areas where it shrinks, bilinear where it grows."""
    height, width = size_hw
    shrinks = rgb.shape[0] >= height and rgb.shape[1] >= width
    resized = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def resize_map(values: FloatMap, size_hw: tuple[int, int], *, nearest: bool = False) -> FloatMap:
    """Scale a map to a frame's size."""
    interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    resized = cv2.resize(values, (size_hw[1], size_hw[0]), interpolation=interpolation)
    return np.asarray(resized, dtype=np.float32)


def instances_from_map(
    probability: FloatMap, *, mask_threshold: float, min_area: float, connected_components: bool = False
) -> list[Instance]:
    """Make one instance of all pixels above `mask_threshold`, or with `split` one of each connected part.

    `probability` is HxW in the frame's size. What is smaller than `min_area`, a share of the image,
    is nobody. The score is the mean probability within the mask. A map of zeros and ones is decided
    everywhere.
    """
    foreground = probability > mask_threshold
    if connected_components:
        parts = find_components(foreground, min_area=min_area, min_aspect_ratio=0.0)
    else:
        parts = [foreground] if foreground.mean() >= min_area else []
    return [
        make_instance(part, probability[part], mask_threshold=mask_threshold) for part in parts if part.any()
    ]


def make_instance(pixels: BoolArray, within: NDArray[np.floating[Any]], *, mask_threshold: float) -> Instance:
    """One person of HxW pixels, at least one of them, `within` which the probabilities are these."""
    mask = Mask.from_array(pixels)
    return Instance(
        mask,
        score=float(np.clip(within.mean(), 0.0, 1.0)),
        box_xywh=mask.box_xywh,
        stability=stability_share(within, mask_threshold=mask_threshold),
    )


def stability_share(within: NDArray[np.floating[Any]], *, mask_threshold: float) -> float:
    """How sharp a mask is: the share of its pixels that would stay if it began later, in [0, 1].

    `within` are the probabilities of its pixels, of which there is one at least. The inner half of Segment
    Anything's stability score (Kirillov et al., 2023: IoU of the masks at two thresholds about the usual
    one), as a share of the mask's area: that depends neither on how large the image is nor on how much of
    it the person takes, as long as the network looks at each person in as many pixels. Where it does not,
    small people are less decided.
    """
    return float((within > stable_threshold(mask_threshold)).mean())


def stable_threshold(mask_threshold: float) -> float:
    """The probability above which a pixel is decided: 0.75 where a mask begins above 0.5; 0 for 0 and 1 for 1."""
    return CLEAR_ODDS * mask_threshold / (1 + (CLEAR_ODDS - 1) * mask_threshold)
