"""One labeled image after a run: how right both models were, and what was decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labeling.comparison.agreement import EPSILON_PX, expected_iou
from labeling.errors import ModelOutputWrong
from labeling.evaluation.detection_metrics import ImageMatch, match_people, visible_tracks
from labeling.evaluation.ground_truth import LabeledImage
from labeling.evaluation.ignore_regions import leave_out_unlabeled
from labeling.structures.instances import ModelCard
from labeling.structures.masks import Mask, intersect_masks, union_masks
from labeling.structures.records import LabeledFrame, Role

_ROLES: tuple[Role, Role] = ("teacher", "student")


@dataclass(frozen=True, slots=True)
class EvaluatedFrame:
    """A frame beside its ground truth. IoUs are of unions: everybody's masks together."""

    dataset: str
    name: str
    people: int
    """Masks of the truth, or its boxes where it has only such."""
    decision: str
    reasons: tuple[str, ...]
    agreement: float | None
    """IoU of student and teacher; None: a filter rejected the frame."""
    expected_agreement: float | None
    """That IoU with the teacher's scores borne in mind (`labeling.comparison.agreement.expected_iou`), by which frames are hardest first;
    None likewise."""
    student_iou: float | None
    """With the truth, what is ignored left out; 1 where both see nobody. None, as the next two: a filter
    rejected the frame, or its truth has only boxes."""
    teacher_iou: float | None
    corrected_px: int | None
    """Pixels that a person would change in the teacher's masks to make them true."""
    trust: float | None = None
    """Probability, by the calibration, that the teacher's masks are right; None also where only some people
    are labeled, or by boxes: nobody can say whether it came true."""
    value: float | None = None
    """What a look is worth, by which the review queue is ordered; None: it is not hard."""
    teacher_people: ImageMatch | None = None
    """Its instances beside the labeled people, one by one. None: a filter rejected the frame, or either the
    truth or the model does not tell people apart."""
    student_people: ImageMatch | None = None
    tracks: tuple[str, ...] = ()
    """Which people can be seen here, where the truth says so (`track_id`; `VIDEO/TRACK` where it names the
    video)."""


def evaluate_frame(
    dataset: str, truth: LabeledImage, row: LabeledFrame, cards: Mapping[str, ModelCard]
) -> EvaluatedFrame:
    """Compare a frame's masks with the truth. `cards` are those of teacher and student.

    Raises:
        ModelOutputWrong: the truth has another size than the image.
    """
    if row.size_hw:
        check_size(truth, row.size_hw)
    teacher_people, student_people = (_match(role, truth, row, cards) for role in _ROLES)
    teacher_masks = [one.mask for one in row.teacher]
    truth = leave_out_unlabeled(truth, teacher_masks)
    is_judged = row.agreement is not None and truth.boxes is None
    student, teacher = (
        iou_with_truth([one.mask for one in side], truth) if is_judged else None
        for side in (row.student, row.teacher)
    )
    agreement, expected_agreement = _agreements(truth, row)
    return EvaluatedFrame(
        dataset=dataset,
        name=truth.name,
        people=len(truth.person_boxes),
        decision=row.decision,
        reasons=row.reasons,
        agreement=agreement,
        expected_agreement=expected_agreement,
        student_iou=student,
        teacher_iou=teacher,
        corrected_px=_count_wrong(teacher_masks, truth) if is_judged else None,
        trust=None if truth.is_partial or truth.boxes is not None else row.trust,
        value=row.priority,
        teacher_people=teacher_people,
        student_people=student_people,
        tracks=visible_tracks(truth),
    )


def _match(
    role: Role, truth: LabeledImage, row: LabeledFrame, cards: Mapping[str, ModelCard]
) -> ImageMatch | None:
    if row.agreement is None or not cards[role].gives_instances:
        return None
    return match_people(row.teacher if role == "teacher" else row.student, truth)


def check_size(truth: LabeledImage, size_hw: tuple[int, int]) -> None:
    """Raises `ModelOutputWrong` where the truth has another size than the image."""
    if size_hw != truth.size_hw:
        raise ModelOutputWrong(
            f"ground truth of {truth.path}: {truth.size_hw} (height, width), the image has {size_hw}"
        )


def _agreements(truth: LabeledImage, row: LabeledFrame) -> tuple[float | None, float | None]:
    """IoU and expected IoU. Where only some people are labeled, of them alone: nobody knows about the others."""
    if row.agreement is None:
        return None, None
    if not truth.is_partial:
        return row.agreement.iou, row.agreement.expected_iou
    student, teacher = ([one.mask for one in side] for side in (row.student, row.teacher))
    return iou_outside(student, teacher, truth.ignored), expected_iou(
        row.teacher, truth.size_hw, lambda seen: iou_outside([seen], student, truth.ignored)
    )


def iou_with_truth(masks: Sequence[Mask], truth: LabeledImage) -> float:
    """IoU of two unions outside what is ignored, in [0, 1]; 1 where neither has a pixel there."""
    return iou_outside(masks, truth.people, truth.ignored)


def iou_outside(first: Sequence[Mask], second: Sequence[Mask], ignored: Mask) -> float:
    """IoU of two unions outside of `ignored`, in [0, 1]; 1 where neither has a pixel there."""
    first_px, second_px, common_px = _areas(first, second, ignored)
    return (common_px + EPSILON_PX) / (first_px + second_px - common_px + EPSILON_PX)


def _count_wrong(masks: Sequence[Mask], truth: LabeledImage) -> int:
    """Pixels of one union that the other has not."""
    seen_px, true_px, common_px = _areas(masks, truth.people, truth.ignored)
    return seen_px + true_px - 2 * common_px


def _areas(first: Sequence[Mask], second: Sequence[Mask], ignored: Mask) -> tuple[int, int, int]:
    """Pixels of each union and of both, outside of `ignored`."""
    one, other = union_masks(first, ignored.size_hw), union_masks(second, ignored.size_hw)
    one_px, other_px, common_px = (
        mask.area_px - intersect_masks(mask, ignored).area_px
        for mask in (one, other, intersect_masks(one, other))
    )
    return one_px, other_px, common_px
