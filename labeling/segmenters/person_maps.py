"""From one map of person probabilities to instances, for networks that tell people from the rest only."""

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.instances import Instance, RgbPicture
from labeling.masks import BoolArray, Mask
from labeling.segmenters.plate import find_components

FloatMap = NDArray[np.float32]
"""HxW."""


def resize_picture(rgb: RgbPicture, size_hw: tuple[int, int]) -> RgbPicture:
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
    probability: FloatMap, *, mask_above: float, min_area: float, split: bool = False
) -> list[Instance]:
    """Make one instance of all pixels above `mask_above`, or with `split` one of each connected part.

    `probability` is HxW in the frame's size. What is smaller than `min_area`, a share of the picture,
    is nobody. The score is the mean probability within the mask.
    """
    foreground = probability > mask_above
    if split:
        parts = find_components(foreground, min_area=min_area, min_height_width=0.0)
    else:
        parts = [foreground] if foreground.mean() >= min_area else []
    return [_instance(part, probability) for part in parts if part.any()]


def _instance(pixels: BoolArray, probability: FloatMap) -> Instance:
    mask = Mask.from_array(pixels)
    return Instance(mask, score=float(np.clip(probability[pixels].mean(), 0.0, 1.0)), box_xywh=mask.box_xywh)
