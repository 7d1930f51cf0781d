"""Frames of a run, read from the ledger: listed, looked at, counted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import JSON, Column, Select, TableValuedAlias, func, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.models import Agreement, Decision, Frame, Instance, Source, SourceVideo, Video
from labeling import instances as seen
from labeling.masks import Mask

Order = Literal["agreement", "time"]
"""Hardest first, or by video and time."""
_FramesFound = Select[tuple[Frame, Video, Decision, Agreement]]


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One line of `maskmill frames`."""

    id: int
    video_id: str
    title: str
    kind: str
    t_ms: int
    name: str
    decision: str
    rule: str | None
    iou: float | None
    boundary_iou: float | None
    causes: tuple[str, ...]
    reasons: tuple[str, ...]
    picture: str | None


@dataclass(frozen=True, slots=True)
class FrameQuery:
    """Which frames of a run are listed, and how."""

    decisions: tuple[str, ...] = ()
    """Empty: all."""
    hard_only: bool = False
    order: Order = "agreement"
    """Hardest first, or by video and time."""
    limit: int | None = None


def list_frames(session: Session, run_id: str, wanted: FrameQuery) -> Iterator[FrameRow]:
    """Frames of a run, one at a time."""
    for frame, video, decision, agreement in _found(session, run_id, wanted):
        yield FrameRow(
            id=frame.id,
            video_id=video.id,
            title=video_title(session, video),
            kind=video.kind,
            t_ms=frame.t_ms,
            name=frame.name,
            decision=decision.decision,
            rule=decision.rule,
            iou=agreement.iou if agreement else None,
            boundary_iou=agreement.boundary_iou if agreement else None,
            causes=tuple(m[0] for m in agreement.mismatches) if agreement else (),
            reasons=tuple(decision.reasons),
            picture=decision.picture,
        )


def _found(
    session: Session, run_id: str, wanted: FrameQuery
) -> Iterator[tuple[Frame, Video, Decision, Agreement]]:
    left = wanted.limit
    for query in _queries(run_id, wanted):
        if left == 0:
            return
        streamed = query.limit(left).execution_options(yield_per=500)
        with session.execute(streamed) as rows:  # PostgreSQL holds a cursor open until then
            for row in rows.tuples():
                yield row
                left = None if left is None else left - 1


def _queries(run_id: str, wanted: FrameQuery) -> Iterator[_FramesFound]:
    """What is asked, one after the other: frames with an IoU come in the order of an index, which they
    would not in one query with those without."""
    query = (
        select(Frame, Video, Decision, Agreement)
        .join(Decision, Decision.frame_id == Frame.id)
        .join(Video, Video.id == Frame.video_id)
        .outerjoin(Agreement, (Agreement.frame_id == Frame.id) & (Agreement.run_id == Decision.run_id))
        .where(Decision.run_id == run_id)
    )
    if wanted.decisions:
        query = query.where(Decision.decision.in_(wanted.decisions))
    if wanted.hard_only:
        query = query.where(Agreement.is_hard)
    by_time = (Frame.video_id, Frame.t_ms)
    if wanted.order == "time":
        yield query.order_by(*by_time)
        return
    yield query.where(Agreement.run_id == run_id).order_by(Agreement.iou, *by_time)
    if not wanted.hard_only:
        yield query.where(Agreement.run_id.is_(None)).order_by(*by_time)


def video_title(session: Session, video: Video) -> str:
    source = source_of(session, video.id)
    return (source.title if source else None) or Path(video.path).name


def source_of(session: Session, video_id: str) -> Source | None:
    """The source that a video is credited to: the first by spec, where several gave the same bytes."""
    cache: dict[str, Source | None] = session.info.setdefault("source_of", {})
    if video_id not in cache:
        gave_it = (SourceVideo.source_id == Source.id) & (SourceVideo.video_id == video_id)
        query = select(Source).join(SourceVideo, gave_it).order_by(Source.spec).limit(1)
        cache[video_id] = session.scalar(query)
    return cache[video_id]


def frame_instances(session: Session, run_id: str, frame: Frame, role: str) -> list[seen.Instance]:
    """What a role saw on one frame, in the model's order."""
    query = (
        select(Instance)
        .where(Instance.run_id == run_id, Instance.frame_id == frame.id, Instance.role == role)
        .order_by(Instance.rank)
    )
    return [seen_instance(row, frame) for row in session.scalars(query)]


def seen_instance(row: Instance, frame: Frame) -> seen.Instance:
    return seen.Instance(
        mask=Mask((frame.height or 0, frame.width or 0), row.rle),
        score=row.score,
        box_xywh=(row.x, row.y, row.w, row.h),
        keypoints=keypoints_of(row.keypoints),
    )


def keypoints_of(stored: list[Any] | None) -> seen.Keypoints | None:
    return tuple((x, y, confidence) for x, y, confidence in stored) if stored else None


def iou_histogram(session: Session, run_id: str, bins: int = 20) -> tuple[list[int], int]:
    """Frames per bin of union IoU over [0, 1], and the frames where both saw nobody beside it."""
    number = func.floor(Agreement.iou * bins)
    query = (
        select(Agreement.both_empty, number, func.count())
        .where(Agreement.run_id == run_id)
        .group_by(Agreement.both_empty, number)
    )
    histogram, empty = [0] * bins, 0
    for both_empty, begin, frames in session.execute(query):
        if both_empty:
            empty += frames
        else:
            histogram[min(int(begin), bins - 1)] += frames
    return histogram, empty


def cause_counts(session: Session, run_id: str) -> dict[str, int]:
    """Mismatches of hard frames by cause."""
    each = _each_of(Agreement.mismatches, session.get_bind().dialect.name)
    cause = each.c.value[0].as_string()
    query = (
        select(cause, func.count())
        .select_from(Agreement)
        .join(each, true())
        .where(Agreement.run_id == run_id, Agreement.is_hard)
        .group_by(cause)
        .order_by(cause)
    )
    return dict(session.execute(query).tuples().all())


def _each_of(column: InstrumentedAttribute[list[Any]], dialect: str) -> TableValuedAlias:
    """A row per element of a JSON array."""
    each = func.json_array_elements if dialect == "postgresql" else func.json_each
    return each(column).table_valued(Column("value", JSON))
