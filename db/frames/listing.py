"""Frames of a run, read from the ledger: listed and looked at."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from more_itertools import batched
from sqlalchemy import ColumnElement, Row, Select, func, select
from sqlalchemy.orm import Session

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
from db.sql.paging import pages
from labeling.structures import instances as seen
from labeling.structures.masks import Mask

DECISIONS = ("rejected", "easy", "accepted", "review")
_READ_AT_ONCE = 100
"""Rows: of several streams that are merged, most give only a few."""
Order = Literal["agreement", "time"]
"""Hardest first, or by video and time."""


@dataclass(frozen=True, slots=True)
class FrameLine:
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
    expected_iou: float | None
    """By which the hardest come first."""
    boundary_iou: float | None
    causes: tuple[str, ...]
    reasons: tuple[str, ...]
    image: str | None


@dataclass(frozen=True, slots=True)
class FrameQuery:
    """Which frames of a run are listed, and how."""

    decisions: tuple[str, ...] = ()
    """Empty: all."""
    hard_only: bool = False
    order: Order = "agreement"
    """Hardest first, or by video and time."""
    limit: int | None = None


def list_frames(session: Session, run_id: str, wanted: FrameQuery) -> Iterator[FrameLine]:
    """Frames of a run, one at a time. As hard ones come in the order of their ids, those that were never
    compared at last, by video and time."""
    rows = _by_time(session, run_id, wanted) if wanted.order == "time" else _hardest(session, run_id, wanted)
    for row in _with_sources(session, islice(rows, wanted.limit)):
        yield FrameLine(
            id=row.id,
            video_id=row.video_id,
            title=_title(source_of(session, row.video_id), row.path),
            kind=row.kind,
            t_ms=row.t_ms,
            name=row.name,
            decision=row.decision,
            rule=row.rule,
            iou=row.iou,
            expected_iou=row.expected_iou,
            boundary_iou=row.boundary_iou,
            causes=tuple(cause for cause, *_ in row.mismatches or ()),
            reasons=tuple(row.reasons),
            image=row.image,
        )


def _with_sources(session: Session, rows: Iterable[Row[Any]]) -> Iterator[Row[Any]]:
    for page in batched(rows, _READ_AT_ONCE):
        look_up_sources(session, [row.video_id for row in page])
        yield from page


def _hardest(session: Session, run_id: str, wanted: FrameQuery) -> Iterator[Row[Any]]:
    """Each decision's frames come in the order of an index; in one query for all they would be sorted."""
    decisions = wanted.decisions or DECISIONS
    compared = _frames(run_id, wanted).where(DecisionRow.expected_iou.is_not(None))
    compared = compared.order_by(DecisionRow.expected_iou, FrameRow.id)
    streams = (
        _stream(session, compared.where(DecisionRow.decision == one), wanted.limit) for one in decisions
    )
    yield from merge(*streams, key=attrgetter("expected_iou", "id"))
    left = tuple(one for one in decisions if _has_uncompared(session, run_id, one))
    if left and not wanted.hard_only:
        uncompared = (
            func.coalesce(DecisionRow.expected_iou, -1) == -1
        )  # no `IS NULL`: its index would be taken for the time's
        yield from _by_time(session, run_id, replace(wanted, decisions=left), uncompared)


def _has_uncompared(session: Session, run_id: str, decision: str) -> bool:
    """Only what was rejected should have any."""
    here = (
        DecisionRow.run_id == run_id,
        DecisionRow.decision == decision,
        DecisionRow.expected_iou.is_(None),
    )
    return session.scalar(select(DecisionRow.frame_id).where(*here).limit(1)) is not None


def _by_time(
    session: Session, run_id: str, wanted: FrameQuery, *conditions: ColumnElement[bool]
) -> Iterator[Row[Any]]:
    """One video after another, each in the order of an index; videos without such frames are not asked."""
    query = _frames(run_id, wanted).where(*conditions).order_by(FrameRow.t_ms)
    if wanted.decisions:
        query = query.where(DecisionRow.decision.in_(wanted.decisions))
    for video_id in _videos_with(session, run_id, wanted.decisions or DECISIONS):
        yield from _stream(session, query.where(FrameRow.video_id == video_id), wanted.limit)


def _videos_with(session: Session, run_id: str, decisions: Sequence[str]) -> list[str]:
    """Videos of a run with frames of these decisions, as its shards counted them."""
    shards = session.execute(select(ShardRow.video_id, ShardRow.counts).where(ShardRow.run_id == run_id))
    return sorted({video_id for video_id, counts in shards if any(map(_is_of(decisions), counts))})


def _is_of(decisions: Sequence[str]) -> Callable[[str], bool]:
    """Whether a count is of frames of these decisions: `rejected:blurred` is one of `rejected`."""
    return lambda name: name.partition(":")[0] in decisions


def _frames(run_id: str, wanted: FrameQuery) -> Select[Any]:
    query = (
        select(
            *(FrameRow.id, FrameRow.video_id, FrameRow.t_ms, FrameRow.name, VideoRow.kind, VideoRow.path),
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
    return query.where(AgreementRow.is_hard) if wanted.hard_only else query


def _stream(session: Session, query: Select[Any], limit: int | None) -> Iterator[Row[Any]]:
    streamed = query.limit(limit).execution_options(yield_per=_READ_AT_ONCE)
    with session.execute(streamed) as rows:  # PostgreSQL holds a cursor open until then
        yield from rows


def video_title(session: Session, video: VideoRow) -> str:
    return _title(source_of(session, video.id), video.path)


def _title(source: SourceRow | None, path: str) -> str:
    return (source.title if source else None) or Path(path).name


def source_of(session: Session, video_id: str) -> SourceRow | None:
    """The source that a video is credited to: the first by spec, where several gave the same bytes."""
    known: dict[str, SourceRow | None] = session.info.setdefault("source_of", {})
    if video_id not in known:
        look_up_sources(session, [video_id])
    return known[video_id]


def look_up_sources(session: Session, video_ids: Sequence[str]) -> None:
    """Make `source_of` know the sources of many videos, which it would ask for one by one."""
    known: dict[str, SourceRow | None] = session.info.setdefault("source_of", {})
    for page in pages([video_id for video_id in dict.fromkeys(video_ids) if video_id not in known]):
        gave_it = SourceVideoRow.source_id == SourceRow.id
        query = select(SourceVideoRow.video_id, SourceRow).join(SourceRow, gave_it).order_by(SourceRow.spec)
        for video_id, source in session.execute(query.where(SourceVideoRow.video_id.in_(page))):
            known.setdefault(video_id, source)
        for video_id in page:
            known.setdefault(video_id, None)


def frame_instances(session: Session, run_id: str, frame: FrameRow, role: str) -> list[seen.Instance]:
    """What a role saw on one frame, in the model's order."""
    query = (
        select(InstanceRow)
        .where(InstanceRow.run_id == run_id, InstanceRow.frame_id == frame.id, InstanceRow.role == role)
        .order_by(InstanceRow.rank)
    )
    return [seen_instance(row, frame) for row in session.scalars(query)]


def seen_instance(row: InstanceRow, frame: FrameRow) -> seen.Instance:
    return seen.Instance(
        mask=Mask((frame.height or 0, frame.width or 0), row.rle),
        score=row.score,
        box_xywh=(row.x, row.y, row.w, row.h),
        keypoints=keypoints_of(row.keypoints),
    )


def keypoints_of(stored: list[Any] | None) -> seen.Keypoints | None:
    return tuple(map(tuple, stored)) if stored else None
