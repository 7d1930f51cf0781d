"""Pages of the compared frames of a run, with filters, hardest first."""

from dataclasses import dataclass
from typing import Any, get_args

from sqlalchemy import Select, String, cast, literal, select, tuple_
from sqlalchemy.orm import Session

from db.frames.listing import FrameLine, frame_lines, frame_rows
from db.models.core import AgreementRow, DecisionRow, FrameRow, ShardRow
from db.models.review import LabelStudioProjectRow, ReviewRow
from labeling.structures.agreement import Cause

CAUSES: tuple[str, ...] = get_args(Cause)
COMPARED = ("easy", "accepted", "review")
"""Decisions about frames that have masks; a rejected frame has neither masks nor an image."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last frame of a page: the next page begins after it."""

    expected_iou: float
    frame_id: int


@dataclass(frozen=True, slots=True)
class GalleryFilter:
    """Which frames to show."""

    decision: str | None = None
    """One of COMPARED; None: all of them."""
    cause: str | None = None
    """Cause of at least one mismatch of the frame."""
    video_id: str | None = None
    iou_from: float = 0.0
    iou_to: float = 1.0
    """Limits of the union IoU, both included."""


@dataclass(frozen=True, slots=True)
class FramePage:
    """Some frames, and where the next page begins; None: this is the last page."""

    frames: tuple[FrameLine, ...]
    following: Cursor | None


@dataclass(frozen=True, slots=True)
class ReviewTask:
    """The Label Studio task of a frame."""

    location: str
    """URL of the server, or `local` for the one of the home."""
    project: int
    task: int
    state: str


def frame_page(
    session: Session, run_id: str, chosen: GalleryFilter, *, after: Cursor | None = None, size: int = 48
) -> FramePage:
    """Read one page. Its cost does not grow with the number of pages before it."""
    query = _filtered(frame_rows(run_id), chosen).where(DecisionRow.expected_iou.is_not(None))
    if after is not None:
        position = tuple_(DecisionRow.expected_iou, FrameRow.id)
        query = query.where(position > tuple_(literal(after.expected_iou), literal(after.frame_id)))
    rows = session.execute(query.order_by(DecisionRow.expected_iou, FrameRow.id).limit(size + 1)).all()
    shown, has_more = rows[:size], len(rows) > size
    following = Cursor(shown[-1].expected_iou, shown[-1].id) if has_more else None
    return FramePage(tuple(frame_lines(session, shown)), following)


def _filtered(query: Select[Any], chosen: GalleryFilter) -> Select[Any]:
    decisions = (chosen.decision,) if chosen.decision else COMPARED
    query = query.where(DecisionRow.decision.in_(decisions))
    if chosen.video_id:
        query = query.where(FrameRow.video_id == chosen.video_id)
    if chosen.iou_from > 0:
        query = query.where(AgreementRow.iou >= chosen.iou_from)
    if chosen.iou_to < 1:
        query = query.where(AgreementRow.iou <= chosen.iou_to)
    if chosen.cause in CAUSES:  # stored as a list of [cause, teacher, student, IoU]
        query = query.where(cast(AgreementRow.mismatches, String).like(f'%"{chosen.cause}"%'))
    return query


def videos_of_run(session: Session, run_id: str) -> list[str]:
    """Return the ids of the videos that a run has shards of."""
    return sorted(session.scalars(select(ShardRow.video_id).where(ShardRow.run_id == run_id).distinct()))


def review_task(session: Session, frame_id: int) -> ReviewTask | None:
    """Return the Label Studio task of a frame; None if it was not sent."""
    query = (
        select(ReviewRow, LabelStudioProjectRow)
        .join(LabelStudioProjectRow, LabelStudioProjectRow.id == ReviewRow.project_id)
        .where(ReviewRow.frame_id == frame_id, ReviewRow.task_id.is_not(None))
    )
    found = session.execute(query).first()
    if found is None or found[0].task_id is None:
        return None
    review, project = found
    return ReviewTask(project.location, project.external_id, review.task_id, review.state)


def running_leases(session: Session, run_id: str) -> list[str]:
    """Return the Prefect ids of the flow runs that hold shards of a run now."""
    query = select(ShardRow.leased_by).where(ShardRow.run_id == run_id, ShardRow.leased_by.is_not(None))
    return sorted(lease for lease in session.scalars(query.distinct()) if lease)
