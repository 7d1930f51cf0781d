"""Lists the frames of a run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from more_itertools import batched
from sqlalchemy import ColumnElement, Row, Select, exists, func, select
from sqlalchemy.orm import Session

from db.frames.people import PersonKey, people_of_frames
from db.models.core import (
    AgreementRow,
    DecisionRow,
    FrameRow,
    InstanceRow,
    ShardRow,
    SourceRow,
    SourceVideoRow,
    VideoRow,
)
from db.sql.reading import select_by_ids
from labeling.structures.reasons import reason_texts

DECISIONS = ("rejected", "easy", "accepted", "review")
_STREAM_ROWS = 100
"""Rows read at a time: of several merged streams, most give only a few."""
Order = Literal["agreement", "time"]
"""Hardest first, or by video and time."""


@dataclass(frozen=True, slots=True)
class FrameLine:
    """One line of `maskmill frames`."""

    id: int
    video_id: str
    title: str
    kind: str
    pts_ms: int | None
    """Presentation time in ms; None for an image without a time."""
    index: int | None
    """Position of an image in its set; None for a frame of a video."""
    name: str
    decision: str
    rule: str | None
    iou: float | None
    expected_iou: float | None
    """Sort key: the hardest frame has the lowest value."""
    boundary_iou: float | None
    causes: tuple[str, ...]
    reasons: tuple[str, ...]
    image: str | None
    people: tuple[str, ...] = ()
    """The teacher's tracked people, as `maskmill frames --person` reads them."""


@dataclass(frozen=True, slots=True)
class FrameQuery:
    """Which frames of a run to list, and in which order."""

    decisions: tuple[str, ...] = ()
    """Empty: all."""
    hard_only: bool = False
    person: PersonKey | None = None
    """Only frames with this person."""
    order: Order = "agreement"
    limit: int | None = None


def list_frames(session: Session, run_id: str, query: FrameQuery) -> Iterator[FrameLine]:
    """Yield frames of a run. Equally hard ones come by id; frames that were not compared come last, by
    video and time."""
    rows = _by_time(session, run_id, query) if query.order == "time" else _hardest(session, run_id, query)
    yield from frame_lines(session, islice(rows, query.limit))


def frame_lines(session: Session, rows: Iterable[Row[Any]]) -> Iterator[FrameLine]:
    """Turn rows of `frame_rows` into lines, with the titles of their sources."""
    for row, people in _with_sources(session, rows):
        yield FrameLine(
            id=row.id,
            video_id=row.video_id,
            title=_title(source_of(session, row.video_id), row.path),
            kind=row.kind,
            pts_ms=row.pts_ms,
            index=row.image_index,
            name=row.name,
            decision=row.decision,
            rule=row.rule,
            iou=row.iou,
            expected_iou=row.expected_iou,
            boundary_iou=row.boundary_iou,
            causes=tuple(cause for cause, *_ in row.mismatches or ()),
            reasons=reason_texts(row.reasons),
            image=row.image,
            people=tuple(person.text for person in people),
        )


def _with_sources(
    session: Session, rows: Iterable[Row[Any]]
) -> Iterator[tuple[Row[Any], tuple[PersonKey, ...]]]:
    for page in batched(rows, _STREAM_ROWS):
        load_sources(session, [row.video_id for row in page])
        people: dict[int, tuple[PersonKey, ...]] = {}
        for run_id in {row.run_id for row in page}:
            people |= people_of_frames(session, run_id, [row.id for row in page])
        for row in page:
            yield row, people.get(row.id, ())


def _hardest(session: Session, run_id: str, query: FrameQuery) -> Iterator[Row[Any]]:
    """Merge the frames of each decision, which are in the order of an index: one query would sort them all."""
    decisions = query.decisions or DECISIONS
    compared = _frames(run_id, query).where(DecisionRow.expected_iou.is_not(None))
    compared = compared.order_by(DecisionRow.expected_iou, FrameRow.id)
    streams = (
        _stream(session, compared.where(DecisionRow.decision == decision), query.limit)
        for decision in decisions
    )
    yield from merge(*streams, key=attrgetter("expected_iou", "id"))
    left = tuple(decision for decision in decisions if _has_uncompared(session, run_id, decision))
    if left and not query.hard_only:
        # for `IS NULL`, planners would take the index on expected_iou instead of the one on time
        uncompared = func.coalesce(DecisionRow.expected_iou, -1) == -1
        yield from _by_time(session, run_id, replace(query, decisions=left), uncompared)


def _has_uncompared(session: Session, run_id: str, decision: str) -> bool:
    uncompared = (
        DecisionRow.run_id == run_id,
        DecisionRow.decision == decision,
        DecisionRow.expected_iou.is_(None),
    )
    return session.scalar(select(DecisionRow.frame_id).where(*uncompared).limit(1)) is not None


def _by_time(
    session: Session, run_id: str, query: FrameQuery, *conditions: ColumnElement[bool]
) -> Iterator[Row[Any]]:
    """Read one video after another, each in the order of an index; videos without such frames are skipped."""
    frames = _frames(run_id, query).where(*conditions).order_by(FrameRow.image_index, FrameRow.pts_ms)
    if query.decisions:
        frames = frames.where(DecisionRow.decision.in_(query.decisions))
    for video_id in _videos_with(session, run_id, query.decisions or DECISIONS):
        yield from _stream(session, frames.where(FrameRow.video_id == video_id), query.limit)


def _videos_with(session: Session, run_id: str, decisions: Sequence[str]) -> list[str]:
    """Return the videos whose shards counted frames of these decisions; `rejected:blurred` counts as `rejected`."""
    shards = session.execute(select(ShardRow.video_id, ShardRow.counts).where(ShardRow.run_id == run_id))
    return sorted(
        {
            video_id
            for video_id, counts in shards
            if any(name.partition(":")[0] in decisions for name in counts)
        }
    )


def _frames(run_id: str, query: FrameQuery) -> Select[Any]:
    frames = frame_rows(run_id)
    if query.person is not None:
        with_person = (
            *(InstanceRow.frame_id == FrameRow.id, InstanceRow.run_id == run_id),
            *(InstanceRow.role == "teacher", InstanceRow.track_id == query.person.track_id),
        )
        of_video = FrameRow.video_id == query.person.video_id
        frames = frames.where(of_video, exists().where(*with_person).correlate(FrameRow))
    return frames.where(AgreementRow.is_hard) if query.hard_only else frames


def frame_rows(run_id: str) -> Select[Any]:
    """Select the frames of a run with what `frame_lines` reads."""
    return (
        select(
            *(FrameRow.id, FrameRow.video_id, FrameRow.pts_ms, FrameRow.image_index, FrameRow.name),
            *(VideoRow.kind, VideoRow.path, DecisionRow.run_id),
            *(DecisionRow.decision, DecisionRow.rule, DecisionRow.reasons, DecisionRow.image),
            *(DecisionRow.expected_iou, AgreementRow.iou, AgreementRow.boundary_iou, AgreementRow.mismatches),
        )
        .join(DecisionRow, DecisionRow.frame_id == FrameRow.id)
        .join(VideoRow, VideoRow.id == FrameRow.video_id)
        .outerjoin(
            AgreementRow, (AgreementRow.frame_id == FrameRow.id) & (AgreementRow.run_id == DecisionRow.run_id)
        )
        .where(DecisionRow.run_id == run_id)
    )


def _stream(session: Session, frames: Select[Any], limit: int | None) -> Iterator[Row[Any]]:
    streamed = frames.limit(limit).execution_options(yield_per=_STREAM_ROWS)
    with session.execute(streamed) as rows:  # closes PostgreSQL's cursor
        yield from rows


def video_title(session: Session, video: VideoRow) -> str:
    return _title(source_of(session, video.id), video.path)


def _title(source: SourceRow | None, path: str) -> str:
    return (source.title if source else None) or Path(path).name


def source_of(session: Session, video_id: str) -> SourceRow | None:
    """Return the source that a video is credited to: the first by spec of those that gave the same bytes."""
    known: dict[str, SourceRow | None] = session.info.setdefault("source_of", {})
    if video_id not in known:
        load_sources(session, [video_id])
    return known[video_id]


def load_sources(session: Session, video_ids: Iterable[str]) -> None:
    """Read the sources of many videos at once, for later calls of `source_of`."""
    known: dict[str, SourceRow | None] = session.info.setdefault("source_of", {})
    unknown = [video_id for video_id in dict.fromkeys(video_ids) if video_id not in known]
    gave_video = SourceVideoRow.source_id == SourceRow.id
    query = select(SourceVideoRow.video_id, SourceRow).join(SourceRow, gave_video).order_by(SourceRow.spec)
    for video_id, source in select_by_ids(session, query, SourceVideoRow.video_id, unknown):
        known.setdefault(video_id, source)
    for video_id in unknown:
        known.setdefault(video_id, None)
