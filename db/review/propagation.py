"""Reads reviewed frames and the open frames near them, and stores masks that were carried from one to the other.

A propagation is never overwritten: its id contains the annotations that it comes from, and annotators' work refers to
the version that they were shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session, aliased

from db.frames.shots import Shots
from db.models.core import DecisionRow, FrameRow, InstanceRow, VideoRow, content_id
from db.models.review import (
    AnnotationRow,
    ConsensusRow,
    PropagatedInstanceRow,
    PropagationRow,
    ReviewedInstanceRow,
    ReviewRow,
)
from db.review.categories import run_categories, runs_lacking
from db.review.truth import find_truths
from db.sql.reading import PAGE, select_by_ids
from db.sql.upsert import upsert
from labeling.review.propagation_plan import OpenTime, PropagationQuality, ReviewedTime
from labeling.review.records import ProposedInstance
from labeling.structures.masks import Mask

FORMAT = 2
"""Increase it with every change to the numerics, so that masks are carried again."""
_OPEN = ("waiting", "open", "confirmed")
"""States of frames that masks are carried to."""


@dataclass(frozen=True, slots=True)
class ReviewedPerson:
    """A person of a consensus."""

    id: int
    mask: Mask
    track_id: int | None
    """In the run that is asked for."""
    category: str


@dataclass(frozen=True, slots=True)
class CarriedPerson:
    """A person to be stored."""

    mask: Mask
    confidence: float
    agreement: float | None
    track_id: int | None
    source_id: int | None
    """The teacher's mask of the person."""
    category: str


@dataclass(frozen=True, slots=True)
class FramePropagation:
    """The result for one frame."""

    frame_id: int
    before_id: int | None
    after_id: int | None
    people: Sequence[CarriedPerson]
    quality: PropagationQuality
    priority: float


def propagation_id(run_id: str, frame_id: int, before_id: int | None, after_id: int | None) -> int:
    """Return the id of what is carried to a frame from these annotations."""
    return content_id("propagation", FORMAT, run_id, frame_id, before_id, after_id)


def runs_in_review(session: Session, project_id: int) -> list[str]:
    """Return the runs whose masks were sent to a project."""
    query = select(ReviewRow.run_id).where(ReviewRow.project_id == project_id).distinct()
    return sorted(session.scalars(query))


def reviewed_times(session: Session, run_id: str) -> dict[str, list[ReviewedTime]]:
    """Return the frames of a run's videos that have a usable consensus, by video.

    Images of folders are left out, and what was reviewed for a run that lacks a category of this one.
    """
    query = (
        select(FrameRow.id, ConsensusRow.annotation_id, FrameRow.pts_ms, FrameRow.video_id)
        .add_columns(DecisionRow.shot_start_ms)
        .join(ConsensusRow, ConsensusRow.frame_id == FrameRow.id)
        .join(DecisionRow, and_(DecisionRow.frame_id == FrameRow.id, DecisionRow.run_id == run_id))
        .join(AnnotationRow, AnnotationRow.id == ConsensusRow.annotation_id)
        .join(VideoRow, VideoRow.id == FrameRow.video_id)
        .where(AnnotationRow.run_id.not_in(runs_lacking(session, run_id)))
        .where(ConsensusRow.verdict != "unusable", VideoRow.kind == "video", FrameRow.pts_ms.is_not(None))
        .order_by(FrameRow.video_id, FrameRow.pts_ms)
    )
    shots, found = Shots(session, run_id), dict[str, list[ReviewedTime]]()
    for frame_id, annotation_id, pts_ms, video_id, shot_start_ms in session.execute(query).tuples().all():
        shot = shots.whole((video_id, shot_start_ms))
        found.setdefault(video_id, []).append(ReviewedTime(frame_id, annotation_id, pts_ms or 0, shot))
    return found


def open_times(session: Session, run_id: str, video_id: str, *, from_ms: int, to_ms: int) -> list[OpenTime]:
    """Return the frames of a video that wait for a review of this run, between two times, both included.

    Those whose truth is known are left out: annotators are asked about the teacher's masks of them.
    """
    query = (
        select(FrameRow.id, FrameRow.pts_ms, DecisionRow.shot_start_ms)
        .join(ReviewRow, ReviewRow.frame_id == FrameRow.id)
        .join(DecisionRow, and_(DecisionRow.frame_id == FrameRow.id, DecisionRow.run_id == run_id))
        .where(ReviewRow.run_id == run_id, ReviewRow.state.in_(_OPEN), FrameRow.video_id == video_id)
        .where(FrameRow.image_index.is_(None), FrameRow.pts_ms.between(from_ms, to_ms))
        .order_by(FrameRow.pts_ms)
    )
    shots = Shots(session, run_id)
    rows = session.execute(query).tuples().all()
    known = find_truths(session, [key for key, *_ in rows])
    return [
        OpenTime(key, pts_ms or 0, shots.whole((video_id, start)))
        for key, pts_ms, start in rows
        if key not in known
    ]


def current_propagations(session: Session, run_id: str) -> dict[int, int]:
    """Return the current propagation of each open frame of a run, by frame id."""
    query = (
        select(PropagationRow.frame_id, PropagationRow.id)
        .join(ReviewRow, ReviewRow.frame_id == PropagationRow.frame_id)
        .where(PropagationRow.run_id == run_id, PropagationRow.state == "current")
        .where(ReviewRow.state.in_(_OPEN))
    )
    return dict(session.execute(query).tuples().all())


def reviewed_people(session: Session, run_id: str, annotation_id: int) -> list[ReviewedPerson]:
    """Return the people of an annotation that are of a category of this run, with the tracks that it gave them."""
    shown = aliased(InstanceRow)
    query = (
        select(ReviewedInstanceRow, FrameRow, shown.track_id)
        .join(AnnotationRow, AnnotationRow.id == ReviewedInstanceRow.annotation_id)
        .join(FrameRow, FrameRow.id == AnnotationRow.frame_id)
        .outerjoin(shown, and_(shown.id == ReviewedInstanceRow.source_id, shown.run_id == run_id))
        .where(ReviewedInstanceRow.annotation_id == annotation_id, ReviewedInstanceRow.area_px > 0)
        .where(ReviewedInstanceRow.category.in_(run_categories(session, run_id)))
        .order_by(ReviewedInstanceRow.rank)
    )
    rows = session.execute(query).tuples()
    return [
        ReviewedPerson(row.id, Mask(frame.size_hw, row.rle), track_id, row.category)
        for row, frame, track_id in rows
    ]


def store_propagations(session: Session, run_id: str, results: Iterable[FramePropagation]) -> None:
    """Store results as the current ones of their frames; the same result again changes nothing."""
    rows, people = [], []
    for result in results:
        key = propagation_id(run_id, result.frame_id, result.before_id, result.after_id)
        rows.append(_propagation_row(key, run_id, result))
        people += [_person_row(key, rank, person) for rank, person in enumerate(result.people)]
    replace_propagations(session, run_id, [int(str(row["frame_id"])) for row in rows])
    upsert(session, PropagationRow, rows, update_columns=["state"])
    upsert(session, PropagatedInstanceRow, people)


def _propagation_row(key: int, run_id: str, result: FramePropagation) -> dict[str, object]:
    return {
        "id": key,
        "run_id": run_id,
        "frame_id": result.frame_id,
        "before_id": result.before_id,
        "after_id": result.after_id,
        "state": "current",
        "agreement": result.quality.agreement,
        "confidence": result.quality.confidence,
        "unmatched": result.quality.unmatched,
        "priority": result.priority,
    }


def _person_row(key: int, rank: int, person: CarriedPerson) -> dict[str, object]:
    return {
        "id": content_id("propagated", key, rank),
        "propagation_id": key,
        "rank": rank,
        "source_id": person.source_id,
        "track_id": person.track_id,
        "confidence": person.confidence,
        "agreement": person.agreement,
        "rle": person.mask.counts,
        "category": person.category,
    }


def replace_propagations(session: Session, run_id: str, frame_ids: Sequence[int]) -> None:
    """Mark what was carried to these frames as replaced."""
    of_run = update(PropagationRow).where(PropagationRow.run_id == run_id, PropagationRow.state == "current")
    for start in range(0, len(frame_ids), PAGE):
        session.execute(
            of_run.where(PropagationRow.frame_id.in_(frame_ids[start : start + PAGE])).values(
                state="replaced"
            )
        )


def shown_propagations(session: Session, run_id: str, frame_ids: Sequence[int]) -> dict[int, PropagationRow]:
    """Return the current propagation of each of these frames that has one with a person, by frame id."""
    query = select(PropagationRow).where(
        PropagationRow.run_id == run_id,
        PropagationRow.state == "current",
        PropagationRow.confidence.is_not(None),
    )
    rows = select_by_ids(session, query, PropagationRow.frame_id, frame_ids)
    return {row.frame_id: row for (row,) in rows}


def with_carried_masks(
    session: Session, teacher: Mapping[int, Sequence[ProposedInstance]], propagations: Mapping[int, int]
) -> dict[int, list[ProposedInstance]]:
    """Return what annotators are shown of frames: carried masks, and the teacher's masks of other people.

    Args:
        session: of the database.
        teacher: the teacher's masks by frame id.
        propagations: by frame id.
    """
    frames = {key: frame_id for frame_id, key in propagations.items()}
    query = select(PropagatedInstanceRow, FrameRow.height, FrameRow.width)
    query = query.join(PropagationRow, PropagationRow.id == PropagatedInstanceRow.propagation_id)
    query = query.join(FrameRow, FrameRow.id == PropagationRow.frame_id).order_by(
        PropagatedInstanceRow.propagation_id, PropagatedInstanceRow.rank
    )
    carried: dict[int, list[ProposedInstance]] = {frame_id: [] for frame_id in propagations}
    for row, height, width in select_by_ids(
        session, query, PropagatedInstanceRow.propagation_id, list(frames)
    ):
        frame_id = frames[row.propagation_id]
        own = {one.id: one for one in teacher.get(frame_id, ())}
        source = own.get(row.source_id) if row.source_id is not None else None
        mask = Mask((height or 0, width or 0), row.rle)
        carried[frame_id].append(
            ProposedInstance(
                source.id if source else row.id,
                mask,
                row.confidence,
                source.keypoints if source else None,
                is_carried_only=source is None,
                track_id=source.track_id if source and source.category == row.category else None,
                category=row.category,
            )
        )
    return {
        frame_id: [
            *people,
            *(one for one in teacher.get(frame_id, ()) if one.id not in {person.id for person in people}),
        ]
        for frame_id, people in carried.items()
    }


def update_review_states(session: Session, run_id: str, *, min_iou: float, min_confidence: float) -> int:
    """Set state and priority of a run's open frames to what is carried to them; return how many are newly confirmed.

    A frame whose carried masks agree with the teacher's becomes `confirmed`, and keeps its task until the next push.
    A confirmed frame without such masks waits again, or is open if it still has its task.
    """
    current = and_(
        PropagationRow.frame_id == ReviewRow.frame_id,
        PropagationRow.run_id == ReviewRow.run_id,
        PropagationRow.state == "current",
    )
    query = (
        select(ReviewRow, PropagationRow, DecisionRow.priority)
        .join(
            DecisionRow,
            and_(DecisionRow.frame_id == ReviewRow.frame_id, DecisionRow.run_id == ReviewRow.run_id),
        )
        .outerjoin(PropagationRow, current)
        .where(ReviewRow.run_id == run_id, ReviewRow.state.in_(_OPEN))
        .where(
            or_(
                PropagationRow.id.is_not(None),
                ReviewRow.state == "confirmed",
                ReviewRow.priority != DecisionRow.priority,
            )
        )
    )
    confirmed = 0
    for review, carried, priority in session.execute(query).tuples().all():
        review.priority = carried.priority if carried else (priority or 0.0)
        # the audit asks people: what agrees with carried masks would be left out of it
        is_confirmed = (
            carried is not None
            and not review.is_audit
            and PropagationQuality(carried.agreement, carried.confidence, carried.unmatched).needs_no_review(
                min_iou=min_iou, min_confidence=min_confidence
            )
        )
        if is_confirmed:
            confirmed += review.state != "confirmed"
            review.state = "confirmed"
        elif review.state == "confirmed":
            review.state = "waiting" if review.task_id is None else "open"
    return confirmed


def confirmed_tasks(session: Session, project_id: int) -> dict[int, int]:
    """Return the tasks that confirmed frames still have in a project, by frame id."""
    query = select(ReviewRow.frame_id, ReviewRow.task_id).where(
        ReviewRow.project_id == project_id,
        ReviewRow.state == "confirmed",
        ReviewRow.task_id.is_not(None),
    )
    return {frame_id: task_id for frame_id, task_id in session.execute(query).tuples() if task_id}


def release_confirmed(session: Session, frame_ids: Iterable[int], *, reopen: Iterable[int] = ()) -> None:
    """Forget the tasks of confirmed frames that were deleted. Annotators have started those of `reopen`, which stay open."""
    rows: list[dict[str, object]] = [
        {"frame_id": frame_id, "project_id": None, "task_id": None, "state": "confirmed"}
        for frame_id in frame_ids
    ]
    if rows:
        session.execute(update(ReviewRow), rows)
    opened = [{"frame_id": frame_id, "state": "open"} for frame_id in reopen]
    if opened:
        session.execute(update(ReviewRow), opened)
