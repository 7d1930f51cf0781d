"""Ignored regions, and the IoU of single masks with ground truth where it is known."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from labeling.evaluation.frames import LabeledImage
from labeling.structures.masks import Mask, intersection_areas, iou_matrix, mask_areas, union_masks

KNOWN_SHARE = 0.5
"""Smallest share of a mask outside ignored regions for the mask to be judged; if only some people are labeled, this
share must be on one of them."""


def judge_masks(masks: Sequence[Mask], labeled: LabeledImage) -> list[float | None]:
    """Return each mask's best IoU with a labeled person, outside ignored regions; None: it cannot be judged.

    If one mask of the ground truth may show several people, a mask that lies mostly on it is judged only if
    there is no other such mask.
    """
    seen, people = cut_ignored(masks, labeled.ignored), cut_ignored(labeled.people, labeled.ignored)
    best = iou_matrix(seen, people).max(axis=1, initial=0.0)
    known = np.array(find_known(masks, labeled), dtype=np.bool_)
    if labeled.is_joined and people:
        on_people = intersection_areas(seen, people).max(axis=1, initial=0) / mask_areas(seen).clip(1)
        is_shared = on_people >= KNOWN_SHARE
        if is_shared.sum() > 1:
            known &= ~is_shared
    return [float(iou) if is_known else None for iou, is_known in zip(best, known, strict=True)]


def find_known(masks: Sequence[Mask], labeled: LabeledImage) -> list[bool]:
    """Return which masks can be judged."""
    known = lie_outside(masks, labeled.ignored)
    if labeled.is_partial:
        on_people = intersection_areas(masks, labeled.people).max(axis=1, initial=0)
        known &= on_people / mask_areas(masks).clip(1) >= KNOWN_SHARE
    return [bool(is_known) for is_known in known]


def lie_outside(masks: Sequence[Mask], ignored: Mask) -> NDArray[np.bool_]:
    """Return which masks have at least `KNOWN_SHARE` of their pixels outside `ignored`, (len(masks),)."""
    inside = intersection_areas(masks, [ignored]).max(axis=1, initial=0)
    outside: NDArray[np.bool_] = inside / mask_areas(masks).clip(1) <= 1 - KNOWN_SHARE
    return outside


def leave_out_unlabeled(labeled: LabeledImage, teacher: Sequence[Mask]) -> LabeledImage:
    """If only some people are labeled, also ignore the pixels of others whom the teacher found.

    With boxes as ground truth, those pixels are not known."""
    if not labeled.is_partial or labeled.boxes is not None:
        return labeled
    known = find_known(teacher, labeled)
    unknown = [mask for mask, is_known in zip(teacher, known, strict=True) if not is_known]
    people = union_masks(labeled.people, labeled.size_hw).to_array()
    unlabeled = union_masks(unknown, labeled.size_hw).to_array() & ~people
    ignored = union_masks([labeled.ignored, Mask.from_array(unlabeled)], labeled.size_hw)
    return replace(labeled, ignored=ignored)


def cut_ignored(masks: Sequence[Mask], ignored: Mask) -> list[Mask]:
    """Return the masks without the ignored pixels."""
    if not ignored:
        return list(masks)
    rest = ~ignored.to_array()
    return [Mask.from_array(mask.to_array() & rest) for mask in masks]
