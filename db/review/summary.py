"""Summarizes the reviews of a run's frames in numbers."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.models.core import AgreementRow, InstanceRow, RunRow
from db.models.review import AnnotationRow, ConsensusRow, ModelScoreRow, ReviewedInstanceRow, ReviewRow
from db.review.annotators import AnnotatorScore, score_annotators
from db.review.audit import AuditSummary, summarize_audit
from db.review.truth import TRUTH_PROJECT
from db.runs.queries import run_models


@dataclass(frozen=True, slots=True)
class MaskCounts:
    """What annotators did with the teacher's masks, over frames that showed them and have a usable consensus."""

    shown: int
    untouched: int
    corrected: int
    removed: int
    added: int
    """Persons that the teacher missed."""
    corrected_iou: float | None
    """Mean IoU of masks before and after their correction; None: none was corrected."""
    other_category: int = 0
    """Corrected masks that were given another category."""


@dataclass(frozen=True, slots=True)
class ConsensusScores:
    """Agreement of a run's models with the consensus, over all frames of the run with a usable one."""

    frames: int
    teacher_iou: float | None
    """Mean union IoU of teacher and consensus; None: no such frame."""
    student_iou: float | None
    """Of student and consensus."""
    student_iou_before: float | None
    """Of student and teacher on the same frames: the estimate before the review."""
    teacher_causes: dict[str, int]
    """Mismatches of the teacher by cause (see labeling.comparison.mismatches)."""
    student_causes: dict[str, int]


@dataclass(frozen=True, slots=True)
class PropagationCounts:
    """What carrying masks to other frames saves; an accepted mask is one of a current annotation, or a confirmed one."""

    frames: int
    """Frames with an annotation of carried masks."""
    confirmed_masks: int
    """Masks of the teacher that need no review: carried masks agree with them."""
    seconds_per_mask_before: float | None
    """Human work per accepted mask where the teacher's masks were shown; None: it was not measured."""
    seconds_per_mask_carried: float | None
    """Where carried masks were shown."""
    seconds_per_mask_after: float | None
    """All human work per accepted mask, confirmed ones included; None: no mask was carried or confirmed."""


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """States of a run's frames, verdicts of the annotators, and scores of the models."""

    frames: dict[str, int]
    """Frames by state: waiting, open, reviewed and so on."""
    verdicts: dict[str, int]
    """Frames with a consensus, by verdict."""
    teacher: str
    """`kind:name`."""
    student: str
    masks: MaskCounts
    scores: ConsensusScores
    seconds: float
    """Human work, over all current annotations."""
    seconds_per_mask: float | None
    """Per mask that was shown or added, where time was measured; None: it was not measured."""
    propagation: PropagationCounts
    audit: AuditSummary | None = None
    """None: no audit."""
    annotators: tuple[AnnotatorScore, ...] = ()
    """Of tasks whose truth is known."""


def summarize_reviews(session: Session, run: RunRow) -> ReviewSummary:
    """Summarize what annotators did with the masks of a run, and its scores against every consensus."""
    models = {role: model.full_name for role, model in run_models(session, run).items()}
    seconds, masks = _work(session, run.id)
    shown_here = and_(
        AnnotationRow.id == ConsensusRow.annotation_id,
        AnnotationRow.run_id == run.id,
        AnnotationRow.project_id != TRUTH_PROJECT,
    )
    in_review = select(ReviewRow).where(
        ReviewRow.run_id == run.id, ReviewRow.project_id.is_distinct_from(TRUTH_PROJECT)
    )
    return ReviewSummary(
        frames=_count(session, ReviewRow.state, in_review),
        verdicts=_count(session, ConsensusRow.verdict, select(ConsensusRow).join(AnnotationRow, shown_here)),
        teacher=models.get("teacher", ""),
        student=models.get("student", ""),
        masks=_count_masks(session, run.id),
        scores=_read_scores(session, run.id),
        seconds=seconds,
        seconds_per_mask=seconds / masks if masks else None,
        propagation=_count_propagation(session, run.id),
        audit=summarize_audit(session, run.id),
        annotators=score_annotators(session, run.id),
    )


def _count_propagation(session: Session, run_id: str) -> PropagationCounts:
    teacher_s, teacher_masks = _accepted(session, run_id, AnnotationRow.propagation_id.is_(None))
    carried_s, carried_masks = _accepted(session, run_id, AnnotationRow.propagation_id.is_not(None))
    confirmed = select(func.sum(_shown_of(ReviewRow.frame_id, run_id))).where(
        ReviewRow.run_id == run_id, ReviewRow.state == "confirmed"
    )
    confirmed_masks = int(session.scalar(confirmed) or 0)
    frames = select(func.count(AnnotationRow.frame_id.distinct())).where(
        AnnotationRow.run_id == run_id,
        AnnotationRow.state == "current",
        AnnotationRow.propagation_id.is_not(None),
    )
    accepted = teacher_masks + carried_masks + confirmed_masks
    helped = carried_masks + confirmed_masks
    return PropagationCounts(
        frames=session.scalar(frames) or 0,
        confirmed_masks=confirmed_masks,
        seconds_per_mask_before=teacher_s / teacher_masks if teacher_masks else None,
        seconds_per_mask_carried=carried_s / carried_masks if carried_masks else None,
        seconds_per_mask_after=(teacher_s + carried_s) / accepted if helped else None,
    )


def _accepted(session: Session, run_id: str, *shown: ColumnElement[bool]) -> tuple[float, int]:
    """Return the measured seconds of current annotations, and the masks in them."""
    timed = (*_timed(run_id), *shown)
    masks = (
        select(func.count())
        .select_from(AnnotationRow)
        .join(ReviewedInstanceRow, ReviewedInstanceRow.annotation_id == AnnotationRow.id)
        .where(*timed)
    )
    seconds = session.scalar(select(func.sum(AnnotationRow.seconds)).where(*timed)) or 0.0
    return seconds, session.scalar(masks) or 0


def _timed(run_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        AnnotationRow.run_id == run_id,
        AnnotationRow.state == "current",
        AnnotationRow.verdict != "skipped",
        AnnotationRow.seconds.is_not(None),
    )


def _count(session: Session, column: InstrumentedAttribute[str], rows: Select[Any]) -> dict[str, int]:
    counted = rows.with_only_columns(column, func.count()).group_by(column).order_by(column)
    return dict(session.execute(counted).tuples().all())


def _count_masks(session: Session, run_id: str) -> MaskCounts:
    usable = (
        AnnotationRow.run_id == run_id,
        AnnotationRow.project_id != TRUTH_PROJECT,
        AnnotationRow.propagation_id.is_(None),
        ConsensusRow.verdict != "unusable",
    )
    reviewed = (
        select(ConsensusRow)
        .join(AnnotationRow, AnnotationRow.id == ConsensusRow.annotation_id)
        .where(*usable)
    )
    after = reviewed.join(
        ReviewedInstanceRow, ReviewedInstanceRow.annotation_id == ConsensusRow.annotation_id
    )
    kept = after.where(ReviewedInstanceRow.source_id.is_not(None)).with_only_columns(
        ReviewedInstanceRow.origin, func.count(), func.avg(ReviewedInstanceRow.iou)
    )
    found = {
        origin: (count, iou)
        for origin, count, iou in session.execute(kept.group_by(ReviewedInstanceRow.origin))
    }
    sources = after.with_only_columns(func.count(ReviewedInstanceRow.source_id.distinct()))
    added = after.where(ReviewedInstanceRow.source_id.is_(None)).with_only_columns(func.count())
    shown = reviewed.with_only_columns(func.sum(_shown_of(ConsensusRow.frame_id, run_id)))
    renamed = (
        after.join(InstanceRow, InstanceRow.id == ReviewedInstanceRow.source_id)
        .where(InstanceRow.category != ReviewedInstanceRow.category)
        .with_only_columns(func.count())
    )
    masks = int(session.scalar(shown) or 0)
    corrected, corrected_iou = found.get("prediction-changed", (0, None))
    return MaskCounts(
        shown=masks,
        untouched=found.get("prediction", (0, None))[0],
        corrected=corrected,
        removed=masks - (session.scalar(sources) or 0),
        added=session.scalar(added) or 0,
        corrected_iou=corrected_iou,
        other_category=session.scalar(renamed) or 0,
    )


def _shown_of(frame_id: InstrumentedAttribute[int], run_id: str) -> ScalarSelect[int]:
    """Count the masks that were shown of a frame; empty ones are not shown.

    It is a subquery per frame, because planners may read all instances for a join.
    """
    shown = (InstanceRow.run_id == run_id, InstanceRow.role == "teacher", InstanceRow.area_px > 0)
    return select(func.count()).where(*shown, InstanceRow.frame_id == frame_id).scalar_subquery()


def _read_scores(session: Session, run_id: str) -> ConsensusScores:
    means = select(ModelScoreRow.role, func.count(), func.avg(ModelScoreRow.iou)).where(
        ModelScoreRow.run_id == run_id
    )
    found = {role: (count, iou) for role, count, iou in session.execute(means.group_by(ModelScoreRow.role))}
    iou = select(AgreementRow.iou).where(
        AgreementRow.run_id == run_id, AgreementRow.frame_id == ModelScoreRow.frame_id
    )
    students = (ModelScoreRow.run_id == run_id, ModelScoreRow.role == "student")
    # a subquery per frame, as in `_shown_of`
    before = select(func.avg(iou.scalar_subquery())).where(*students)
    return ConsensusScores(
        frames=found.get("student", (0, None))[0],
        teacher_iou=found.get("teacher", (0, None))[1],
        student_iou=found.get("student", (0, None))[1],
        student_iou_before=session.scalar(before),
        teacher_causes=_count_causes(session, run_id, "teacher"),
        student_causes=_count_causes(session, run_id, "student"),
    )


def _count_causes(session: Session, run_id: str, role: str) -> dict[str, int]:
    counts = Counter[str]()
    query = select(ModelScoreRow.mismatches).where(ModelScoreRow.run_id == run_id, ModelScoreRow.role == role)
    for mismatches in session.scalars(query.execution_options(yield_per=2000)):
        counts.update(cause for cause, *_ in mismatches)
    return dict(sorted(counts.items()))


def _work(session: Session, run_id: str) -> tuple[float, int]:
    """Return the seconds of human work, and the masks that were shown or added in that time."""
    timed = _timed(run_id)
    shown = select(func.sum(_shown_of(AnnotationRow.frame_id, run_id))).where(*timed)
    added = (
        select(func.count())
        .select_from(AnnotationRow)
        .join(ReviewedInstanceRow, ReviewedInstanceRow.annotation_id == AnnotationRow.id)
        .where(*timed, ReviewedInstanceRow.source_id.is_(None))
    )
    seconds = session.scalar(select(func.sum(AnnotationRow.seconds)).where(*timed)) or 0.0
    return seconds, int(session.scalar(shown) or 0) + (session.scalar(added) or 0)
