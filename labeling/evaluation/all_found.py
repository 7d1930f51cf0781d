"""Whether a model found every person of a labeled image, and what of it is independent of other images."""

from collections.abc import Sequence

import numpy as np

from labeling.evaluation.evaluate import iou_outside
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ignore_regions import cut_ignored, lie_outside
from labeling.structures.masks import Mask, box_iou_matrix, iou_matrix

FOUND_IOU = 0.3
"""A person whose best IoU is below this is missed: a bad mask of a person is judged by other means."""
SMALLEST = 0.002
"""Smallest person that counts, as a share of the image; of ground truth with boxes all count."""


def finds_all_people(masks: Sequence[Mask], labeled: LabeledImage) -> bool:
    """Return whether each labeled person, as far as it is not ignored, has a mask.

    If only some people are labeled, the others are not known. If one mask of the ground truth shows several people, their
    union counts.
    """
    if labeled.boxes is not None:
        ious = box_iou_matrix(labeled.boxes, [mask.box_xywh for mask in masks])
        return bool((ious.max(axis=1, initial=0.0) >= FOUND_IOU).all())
    smallest_px = SMALLEST * labeled.size_hw[0] * labeled.size_hw[1]
    is_known = lie_outside(labeled.people, labeled.ignored)
    is_large = np.array([mask.area_px >= smallest_px for mask in labeled.people], dtype=np.bool_)
    people = [mask for mask, counts in zip(labeled.people, is_known & is_large, strict=True) if counts]
    if labeled.is_joined:
        return not people or iou_outside(masks, people, labeled.ignored) >= FOUND_IOU
    found = iou_matrix(cut_ignored(people, labeled.ignored), cut_ignored(masks, labeled.ignored))
    return bool((found.max(axis=1, initial=0.0) >= FOUND_IOU).all())


def unit_of(labeled: LabeledImage) -> str:
    """Return the video of an image, empty for the only one of its set; its own name if it belongs to none."""
    return labeled.name if labeled.moment is None else labeled.moment[0]
