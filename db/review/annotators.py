"""How well annotators answer tasks whose truth is known."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from db.models.core import FrameRow, InstanceRow
from db.models.review import AnnotationRow, ReviewRow
from db.review.truth import TRUTH_PROJECT, find_truths, has_truth, knows_truth
from db.sql.reading import select_by_ids

if TYPE_CHECKING:
    from labeling.review.planted import JudgedAnswer
    from labeling.review.records import ReviewedInstance
    from labeling.structures.masks import Mask

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class AnnotatorScore:
    """The answers of one annotator to tasks whose truth is known."""

    annotator: str
    tasks: int
    """Answered; skipped and unusable ones are not judged."""
    judged: int
    """People of the truth, and masks of no person."""
    right: int
    missed: int
    added: int
    mean_iou: float | None
    """Of people with a mask in the answer and their truth; None: there is none."""
    share_right: float | None
    """None: nothing was judged."""
    between: tuple[float, float] | None
    """Exact interval of the share, with a confidence of 95 %."""


def score_annotators(session: Session, run_id: str) -> tuple[AnnotatorScore, ...]:
    """Return the scores of all annotators who answered planted tasks of a run, by name."""
    if not knows_truth(session):
        return ()
    judged: dict[str, list[JudgedAnswer]] = {}
    for annotator, answer in _judge_answers(session, run_id):
        judged.setdefault(annotator, []).append(answer)
    return tuple(_sum_up(annotator, judged[annotator]) for annotator in sorted(judged))


def _sum_up(annotator: str, answers: "Sequence[JudgedAnswer]") -> AnnotatorScore:
    from labeling.trust.exact_bounds import share_interval  # imports scipy

    judged, right = sum(one.judged for one in answers), sum(one.right for one in answers)
    ious = [iou for one in answers for iou in one.ious]
    return AnnotatorScore(
        annotator=annotator,
        tasks=len(answers),
        judged=judged,
        right=right,
        missed=sum(one.missed for one in answers),
        added=sum(one.added for one in answers),
        mean_iou=fmean(ious) if ious else None,
        share_right=right / judged if judged else None,
        between=share_interval(right, judged, confidence=CONFIDENCE) if judged else None,
    )


def _judge_answers(session: Session, run_id: str) -> "Iterator[tuple[str, JudgedAnswer]]":
    """Yield (annotator, answer) for the current answers to planted tasks, in the project that they were last sent to."""
    from db.review.annotations import annotation_instances

    query = (
        select(AnnotationRow, FrameRow, ReviewRow.is_audit)
        .join(FrameRow, FrameRow.id == AnnotationRow.frame_id)
        .join(ReviewRow, _was_sent_there())
        .where(AnnotationRow.run_id == run_id, AnnotationRow.state == "current")
        .where(AnnotationRow.project_id != TRUTH_PROJECT)
        .where(AnnotationRow.verdict.in_(("correct", "corrected")), has_truth(AnnotationRow.frame_id))
        .order_by(AnnotationRow.id)
    )
    rows = session.execute(query).tuples().all()
    truths = find_truths(session, {frame.id for _, frame, _ in rows})
    frames = {truths[frame.id]: frame for _, frame, _ in rows} | {row.id: frame for row, frame, _ in rows}
    people = annotation_instances(session, frames)
    answered = {row.id: people.get(row.id, []) for row, *_ in rows}
    shown = _shown_masks(session, [one for of_row in answered.values() for one in of_row])
    for row, frame, is_audit in rows:
        truth = [one.mask for one in people.get(truths[frame.id], ())]
        yield row.annotator, _judge(truth, answered[row.id], shown, has_locked=not is_audit)


def _judge(
    truth: "Sequence[Mask]",
    answered: "Sequence[ReviewedInstance]",
    shown: "Mapping[int | None, _ShownMask]",
    *,
    has_locked: bool,
) -> "JudgedAnswer":
    """Judge what the annotator could change."""
    from labeling.review.planted import judge_answer

    known = [(one, shown.get(one.source_id)) for one in answered]
    locked = [one.mask for one, before in known if has_locked and before and before.is_accepted]
    own = [(one, before) for one, before in known if not (has_locked and before and before.is_accepted)]
    left_out = [before.mask for one, before in own if before and not one.mask]
    return judge_answer(truth, [one.mask for one, _ in own], left_out=left_out, locked=locked)


@dataclass(frozen=True, slots=True)
class _ShownMask:
    """A mask of the teacher that was shown."""

    mask: "Mask"
    is_accepted: bool
    """By itself: annotators could not change it, except in an audit."""


def _shown_masks(session: Session, people: "Iterable[ReviewedInstance]") -> "dict[int | None, _ShownMask]":
    """Return the masks that these people were shown as, by instance id."""
    from labeling.structures.masks import Mask

    query = select(InstanceRow, FrameRow).join(FrameRow, FrameRow.id == InstanceRow.frame_id)
    ids = {one.source_id for one in people if one.source_id is not None}
    return {
        row.id: _ShownMask(Mask(frame.size_hw, row.rle), row.decision == "accepted")
        for row, frame in select_by_ids(session, query, InstanceRow.id, ids)
    }


def _was_sent_there() -> ColumnElement[bool]:
    return and_(
        ReviewRow.frame_id == AnnotationRow.frame_id, ReviewRow.project_id == AnnotationRow.project_id
    )
