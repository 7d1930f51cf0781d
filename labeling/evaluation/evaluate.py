"""Comparison of one labeled image's masks and decision with its ground truth."""

from collections.abc import Mapping, Sequence

import numpy as np

from labeling.comparison.agreement import expected_iou
from labeling.comparison.boundary_iou import band_width_px, boundary_band
from labeling.comparison.iou import EPSILON_PX
from labeling.evaluation.detection_metrics import ImageMatch
from labeling.evaluation.frames import EvaluatedFrame, LabeledImage
from labeling.evaluation.ignore_regions import leave_out_unlabeled
from labeling.evaluation.matching import match_people, visible_tracks
from labeling.structures.instances import ModelCard
from labeling.structures.masks import Mask, intersect_masks, union_masks
from labeling.structures.records import LabeledFrame, Role

_ROLES: tuple[Role, Role] = ("teacher", "student")


def evaluate_frame(
    dataset: str, labeled: LabeledImage, row: LabeledFrame, cards: Mapping[str, ModelCard]
) -> EvaluatedFrame:
    """Compare a frame's masks with the ground truth; `cards` are those of teacher and student."""
    if row.size_hw:
        labeled.check_size(row.size_hw)
    teacher_people, student_people = (_match(role, labeled, row, cards) for role in _ROLES)
    teacher_masks = [instance.mask for instance in row.teacher]
    labeled = leave_out_unlabeled(labeled, teacher_masks)
    is_judged = row.agreement is not None and labeled.boxes is None
    student, teacher = (
        iou_with_ground_truth([instance.mask for instance in side], labeled) if is_judged else None
        for side in (row.student, row.teacher)
    )
    agreement, expected_agreement = _agreements(labeled, row)
    return EvaluatedFrame(
        dataset=dataset,
        name=labeled.name,
        people=len(labeled.person_boxes),
        decision=row.decision,
        reasons=tuple(map(str, row.reasons)),
        agreement=agreement,
        expected_agreement=expected_agreement,
        student_iou=student,
        teacher_iou=teacher,
        corrected_px=_count_wrong(teacher_masks, labeled) if is_judged else None,
        trust=None if labeled.is_partial or labeled.boxes is not None else row.trust,
        value=row.priority,
        teacher_boundary_iou=boundary_iou_with_ground_truth(teacher_masks, labeled) if is_judged else None,
        teacher_people=teacher_people,
        student_people=student_people,
        tracks=visible_tracks(labeled),
    )


def _match(
    role: Role, labeled: LabeledImage, row: LabeledFrame, cards: Mapping[str, ModelCard]
) -> ImageMatch | None:
    if row.agreement is None or not cards[role].gives_instances:
        return None
    return match_people(row.teacher if role == "teacher" else row.student, labeled)


def _agreements(labeled: LabeledImage, row: LabeledFrame) -> tuple[float | None, float | None]:
    """Return IoU and expected IoU of student and teacher; only of labeled people if not all are labeled."""
    if row.agreement is None:
        return None, None
    if not labeled.is_partial:
        return row.agreement.iou, row.agreement.expected_iou
    student, teacher = ([instance.mask for instance in side] for side in (row.student, row.teacher))
    return iou_outside(student, teacher, labeled.ignored), expected_iou(
        row.teacher, labeled.size_hw, lambda seen: iou_outside([seen], student, labeled.ignored)
    )


def iou_with_ground_truth(masks: Sequence[Mask], labeled: LabeledImage) -> float:
    """Return the IoU of the union of masks with the ground truth outside ignored regions, in [0, 1]."""
    return iou_outside(masks, labeled.people, labeled.ignored)


def boundary_iou_with_ground_truth(masks: Sequence[Mask], labeled: LabeledImage) -> float:
    """Return the boundary IoU of two unions, in [0, 1]; ignored pixels count in neither band.

    The bands are those of the whole unions, so that the edge of an ignored region is no contour.
    """
    unions = (union_masks(side, labeled.size_hw) for side in (masks, labeled.people))
    width_px, known = band_width_px(labeled.size_hw), ~labeled.ignored.to_array()
    first, second = (boundary_band(union.to_array().T, width_px).T & known for union in unions)
    total = int(np.count_nonzero(first | second))
    return float(np.count_nonzero(first & second) / total) if total else 1.0


def iou_outside(first: Sequence[Mask], second: Sequence[Mask], ignored: Mask) -> float:
    """Return the IoU of two unions outside `ignored`, in [0, 1]; 1 if neither has a pixel there."""
    first_px, second_px, common_px = _areas(first, second, ignored)
    return (common_px + EPSILON_PX) / (first_px + second_px - common_px + EPSILON_PX)


def _count_wrong(masks: Sequence[Mask], labeled: LabeledImage) -> int:
    """Count the pixels of only one of the two unions."""
    seen_px, true_px, common_px = _areas(masks, labeled.people, labeled.ignored)
    return seen_px + true_px - 2 * common_px


def _areas(first: Sequence[Mask], second: Sequence[Mask], ignored: Mask) -> tuple[int, int, int]:
    """Return the pixels of each union and of their intersection, outside `ignored`."""
    unions = union_masks(first, ignored.size_hw), union_masks(second, ignored.size_hw)
    first_px, second_px, common_px = (
        mask.area_px - intersect_masks(mask, ignored).area_px for mask in (*unions, intersect_masks(*unions))
    )
    return first_px, second_px, common_px
