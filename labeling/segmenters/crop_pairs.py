"""An instance from the landmark network's results for one person in two crops."""

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import Params
from scipy.special import expit, logit

from labeling.segmenters.blazepose import FloatArray, Landmarks
from labeling.structures.instances import Instance, Keypoints
from labeling.structures.masks import BoolArray, Mask
from labeling.structures.probability_maps import stability_share

_COCO_SIGMAS: NDArray[np.float64] = Params("keypoints").kpt_oks_sigmas
"""Spread of human annotations of each keypoint, relative to the square root of the area (COCO's OKS)."""

CropPair = tuple[Landmarks, Landmarks]
"""The landmark network's results for one person in two crops, the second mirrored."""


def make_instance(pair: CropPair, box_score: float, mask_threshold: float) -> Instance | None:
    """Make an instance with a score of four parts (see `LiteSegmenter`); None if the mask has no pixel within the image."""
    left, top, right, bottom = region = _join_regions(pair)
    if right <= left or bottom <= top:
        return None
    first, second = (crop_result.logits_in(region) for crop_result in pair)
    threshold = logit(mask_threshold)
    mean = (first + second) / 2
    inside: BoolArray = mean > threshold
    if not inside.any():
        return None
    presence = (pair[0].presence + pair[1].presence) / 2
    within = expit(mean[inside])
    parts = (box_score, presence, float(within.mean()), _iou(first > threshold, second > threshold))
    pixels = np.zeros(pair[0].size_hw, dtype=np.bool_)
    pixels[top:bottom, left:right] = inside
    mask = Mask.from_array(pixels)
    return Instance(
        mask=mask,
        score=float(np.clip(np.prod(parts), 0.0, 1.0) ** (1 / len(parts))),
        box_xywh=mask.box_xywh,
        keypoints=join_keypoints(pair[0].keypoints, pair[1].keypoints, float(inside.sum())),
        stability=stability_share(within, mask_threshold=mask_threshold),
    )


def _join_regions(pair: CropPair) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the rectangle around both crops, within the image."""
    regions = np.array([crop_result.crop.clip_to(crop_result.size_hw) for crop_result in pair])
    (left, top), (right, bottom) = regions[:, :2].min(axis=0).tolist(), regions[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom


def _iou(first: BoolArray, second: BoolArray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def join_keypoints(close: FloatArray, wide: FloatArray, area_px: float) -> Keypoints:
    """Return the mean of both crops' keypoints; the distance between them lowers the confidence.

    The factor is COCO's object keypoint similarity of the two, exp(-d^2 / (2 area (2 sigma)^2)). On
    COCO's people it separates good keypoints (similarity to the ground truth above 0.5) from others
    with AUROC 0.80; the network's visibility and in-frame probabilities alone have 0.67.
    """
    distance2 = ((close[:, :2] - wide[:, :2]) ** 2).sum(axis=1)
    similarity = np.exp(-distance2 / (2 * area_px * (2 * _COCO_SIGMAS) ** 2))
    joined = (close + wide) / 2
    joined[:, 2] *= similarity
    return tuple((x, y, confidence) for x, y, confidence in joined.tolist())
