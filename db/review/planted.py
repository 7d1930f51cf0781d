"""Stores the truth of frames, and selects which of them are sent among the ordinary tasks."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from math import ceil

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from db.models.core import DecisionRow, FrameRow
from db.models.review import ReviewRow
from db.review.annotations import FrameAnnotations, SentFrame, store_annotations
from db.review.outbox import remember_project
from db.review.truth import TRUTH, TRUTH_PROJECT, find_truths, has_truth
from db.sql.reading import count_rows, select_by_ids
from db.sql.upsert import upsert
from labeling.review.records import ReviewedFrame, ReviewedInstance
from labeling.structures.masks import Mask

_WITH_TASK = ("sending", "open", "reviewed", "unresolved", "skipped", "deleted")
_UNSENT = ("waiting", "withdrawn", "confirmed")
_ROUNDING = 1e-9


def find_frames(session: Session, run_id: str, frame_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Return those of these frames that a run compared, with their size (height, width)."""
    query = select(FrameRow).join(DecisionRow, DecisionRow.frame_id == FrameRow.id)
    compared = query.where(DecisionRow.run_id == run_id, DecisionRow.image.is_not(None))
    return {frame.id: frame.size_hw for (frame,) in select_by_ids(session, compared, FrameRow.id, frame_ids)}


def find_images(session: Session, run_id: str, names: Collection[str]) -> dict[str, int]:
    """Return the frames of a run that are image files, by file name; names that several of them have are left out."""
    query = select(FrameRow.name, FrameRow.id).join(DecisionRow, DecisionRow.frame_id == FrameRow.id)
    found: dict[str, list[int]] = {}
    for name, frame_id in select_by_ids(
        session, query.where(DecisionRow.run_id == run_id), FrameRow.name, names
    ):
        found.setdefault(name, []).append(frame_id)
    return {name: frames[0] for name, frames in found.items() if len(frames) == 1}


def store_truths(
    session: Session,
    run_id: str,
    project_id: int,
    truths: Mapping[int, Sequence[Mask]],
    *,
    written_at: datetime,
) -> list[int]:
    """Store the masks of all people in frames of a run as their truth; return the frames whose truth is new or has changed.

    `written_at` identifies the version. Frames that are not in review in this project require no review from now on.
    """
    remember_project(session, TRUTH, TRUTH, 0)
    known = find_truths(session, truths)
    _release(session, run_id, project_id, [frame_id for frame_id in truths if frame_id not in known])
    sent = SentFrame(TRUTH_PROJECT, 0, run_id)
    answers = {
        frame_id: FrameAnnotations(sent, [_truth(frame_id, masks, written_at)], ())
        for frame_id, masks in truths.items()
    }
    return store_annotations(session, answers)


def _truth(frame_id: int, masks: Sequence[Mask], written_at: datetime) -> ReviewedFrame:
    return ReviewedFrame(
        frame_id=frame_id,
        task=0,
        number=frame_id,
        annotator=TRUTH,
        verdict="correct",
        instances=tuple(ReviewedInstance(mask, "manual", None) for mask in masks),
        seconds=None,
        created_at=written_at,
        updated_at=written_at,
    )


def _release(session: Session, run_id: str, project_id: int, frame_ids: Sequence[int]) -> None:
    """Mark frames without a task in this project as reviewed, by their truth."""
    known = {
        row.frame_id: row
        for (row,) in select_by_ids(session, select(ReviewRow), ReviewRow.frame_id, frame_ids)
    }
    query = select(DecisionRow.frame_id, DecisionRow.priority).where(DecisionRow.run_id == run_id)
    priorities = dict(select_by_ids(session, query, DecisionRow.frame_id, frame_ids))
    reviewed = {"state": "reviewed", "project_id": TRUTH_PROJECT, "task_id": None, "fingerprint": ""}
    new = [
        {"frame_id": key, "run_id": run_id, "priority": priorities[key] or 0.0, **reviewed}
        for key in frame_ids
        if key not in known
    ]
    upsert(session, ReviewRow, new)
    elsewhere = [
        {"frame_id": key, **reviewed}
        for key, row in known.items()
        if row.state in _UNSENT or (row.state == "reviewed" and row.project_id != project_id)
    ]
    if elsewhere:
        session.execute(update(ReviewRow), elsewhere)


def count_plantable(session: Session, run_id: str) -> int:
    """Return how many frames of a run with a known truth can still be sent."""
    return len(_plantable(session, run_id))


def count_due(session: Session, run_id: str, *, share: float, ordinary: int) -> int:
    """Return how many tasks with a known answer are missing until they are this share of the run's tasks.

    `ordinary`: the tasks that are going to be sent with them. What was sent before counts, so a push that is repeated after a
    crash plants no more than one that was not.
    """
    of_run = (ReviewRow.run_id == run_id, ReviewRow.state.in_(_WITH_TASK))
    others = ordinary + count_rows(session, ReviewRow, *of_run, ~has_truth(ReviewRow.frame_id))
    return ceil(share / (1 - share) * others - _ROUNDING) - count_planted(session, run_id)


def plant_tasks(session: Session, run_id: str, project_id: int, *, most: int) -> tuple[int, ...]:
    """Queue at most this many frames with a known truth for a project, and return them."""
    chosen = _plantable(session, run_id)[: max(0, most)]
    waiting = {"state": "waiting", "run_id": run_id, "project_id": project_id, "task_id": None}
    if chosen:
        rows = [{"frame_id": frame_id, "fingerprint": "", **waiting} for frame_id in chosen]
        session.execute(update(ReviewRow), rows)
    return tuple(chosen)


def count_planted(session: Session, run_id: str) -> int:
    """Return how many tasks of a run have an answer that is known."""
    elsewhere = or_(ReviewRow.project_id.is_(None), ReviewRow.project_id != TRUTH_PROJECT)
    in_studio = and_(elsewhere, ReviewRow.state.in_(_WITH_TASK))
    return count_rows(
        session, ReviewRow, ReviewRow.run_id == run_id, in_studio, has_truth(ReviewRow.frame_id)
    )


def _plantable(session: Session, run_id: str) -> list[int]:
    """Return the frames that can be sent: those queued by a push that was killed, then the others, by id, which is a hash.

    They are frames that the run decided need a review, so that their tasks look like all others.
    """
    query = (
        select(ReviewRow.frame_id)
        .join(DecisionRow, _decided(run_id))
        .where(
            has_truth(ReviewRow.frame_id), DecisionRow.decision == "review", DecisionRow.priority.is_not(None)
        )
        .where(
            or_(
                ReviewRow.state == "waiting",
                and_(ReviewRow.state == "reviewed", ReviewRow.project_id == TRUTH_PROJECT),
            )
        )
        .order_by(ReviewRow.state.desc(), ReviewRow.frame_id)
    )
    return list(session.scalars(query))


def _decided(run_id: str) -> ColumnElement[bool]:
    return and_(DecisionRow.frame_id == ReviewRow.frame_id, DecisionRow.run_id == run_id)
