"""Single masks beside the truth: which are good, and of which nothing can be said."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from labeling.evaluation.ground_truth import LabeledImage
from labeling.structures.masks import Mask, intersection_areas, iou_matrix, mask_areas, union_masks

KNOWN_SHARE = 0.5
"""A mask of which at least this share lies where the truth is known can be judged; where only some people
are labeled, it must lie on one of them."""


def judge_masks(masks: Sequence[Mask], truth: LabeledImage) -> list[float | None]:
    """Best IoU of each mask with a person of the truth, outside what is ignored; None: nobody can say.

    Where one mask of the truth may show several people, a mask of which most lies on it can be judged only
    if it is the only such.
    """
    seen, people = cut_ignored(masks, truth.ignored), cut_ignored(truth.people, truth.ignored)
    best = iou_matrix(seen, people).max(axis=1, initial=0.0)
    known = find_known(masks, truth)
    if truth.is_joined and people:
        on_people = intersection_areas(seen, people).max(axis=1, initial=0) / mask_areas(seen).clip(1)
        shares_it = on_people >= KNOWN_SHARE
        known = [
            one and not (shared and shares_it.sum() > 1) for one, shared in zip(known, shares_it, strict=True)
        ]
    return [float(iou) if is_known else None for iou, is_known in zip(best, known, strict=True)]


def find_known(masks: Sequence[Mask], truth: LabeledImage) -> list[bool]:
    """Which masks can be judged."""
    known = lie_outside(masks, truth.ignored)
    if truth.is_partial:
        on_people = intersection_areas(masks, truth.people).max(axis=1, initial=0)
        known &= on_people / mask_areas(masks).clip(1) >= KNOWN_SHARE
    return [bool(one) for one in known]


def lie_outside(masks: Sequence[Mask], ignored: Mask) -> NDArray[np.bool_]:
    """Which masks have at least `KNOWN_SHARE` of their pixels outside of `ignored`, (len(masks),)."""
    inside = intersection_areas(masks, [ignored]).max(axis=1, initial=0)
    outside: NDArray[np.bool_] = inside / mask_areas(masks).clip(1) <= 1 - KNOWN_SHARE
    return outside


def leave_out_unlabeled(truth: LabeledImage, teacher: Sequence[Mask]) -> LabeledImage:
    """Where only some people are labeled, the pixels of others whom the teacher saw are ignored too.

    Boxes cannot tell these others' pixels."""
    if not truth.is_partial or truth.boxes is not None:
        return truth
    known = find_known(teacher, truth)
    others = [mask for mask, is_known in zip(teacher, known, strict=True) if not is_known]
    people = union_masks(truth.people, truth.size_hw).to_array()
    unlabeled = union_masks(others, truth.size_hw).to_array() & ~people
    ignored = union_masks([truth.ignored, Mask.from_array(unlabeled)], truth.size_hw)
    return replace(truth, ignored=ignored)


def cut_ignored(masks: Sequence[Mask], ignored: Mask) -> list[Mask]:
    """The masks without the pixels of which nothing is known."""
    if not ignored:
        return list(masks)
    rest = ~ignored.to_array()
    return [Mask.from_array(mask.to_array() & rest) for mask in masks]
