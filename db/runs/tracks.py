"""Tracks of shards, joined to the people of a video.

`track_id` depends on the stored shards only, not on the order in which they were done: when a shard is stored, its
tracks and those of all later shards of its video are numbered again.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.orm import Session

from db.models.core import FrameRow, InstanceRow, ShardRow, TrackRow, VideoRow
from db.sql.upsert import upsert
from labeling.structures.tracks import ShardTrack, TrackEdge
from labeling.tracking.stitching import NumberedTrack, link_shards, number_tracks


def lock_tracks(session: Session, video_id: str) -> None:
    """Let only this transaction number the tracks of a video; other writers of its frames go on."""
    session.execute(select(VideoRow.id).where(VideoRow.id == video_id).with_for_update(key_share=True))


def store_tracks(session: Session, shard: ShardRow, tracks: Sequence[ShardTrack]) -> dict[int, int]:
    """Store the tracks of a shard, join them with its neighbors', and number later shards again.

    Requires `lock_tracks`, and that the shard's instances are not stored yet. Returns the `track_id` in the video
    by number in the shard.
    """
    if not tracks:
        return {}
    upsert(session, TrackRow, [_row(shard, track) for track in tracks])
    before, after = _neighbor(session, shard, -1), _neighbor(session, shard, 1)
    if before is not None:
        _link(session, before, shard.id)
    if after is not None:
        _link(session, shard.id, after)
    return _number_from(session, shard, before)


def _row(shard: ShardRow, track: ShardTrack) -> dict[str, Any]:
    return {
        "shard_id": shard.id,
        "number": track.number,
        "run_id": shard.run_id,
        "track_id": None,
        "is_given": track.is_given,
        "previous": None,
        "first_ms": track.first_ms,
        "last_ms": track.last_ms,
        "frames": track.frames,
        "begin": track.begin.to_json() if track.begin else None,
        "end": track.end.to_json() if track.end else None,
    }


def _neighbor(session: Session, shard: ShardRow, step: int) -> int | None:
    """Return the shard before (-1) or after (1) this one in its video."""
    query = select(ShardRow.id).where(ShardRow.run_id == shard.run_id, ShardRow.video_id == shard.video_id)
    if step < 0:
        query = query.where(ShardRow.start_ms < shard.start_ms).order_by(ShardRow.start_ms.desc())
    else:
        query = query.where(ShardRow.start_ms > shard.start_ms).order_by(ShardRow.start_ms)
    return session.scalar(query.limit(1))


def _link(session: Session, before: int, after: int) -> None:
    """Store which tracks of a shard continue which of the shard before; without stored tracks there are none."""
    links = link_shards(
        _edges(session, before, TrackRow.end.is_not(None)),
        _edges(session, after, TrackRow.begin.is_not(None)),
    )
    for number, previous in links.items():
        linked = update(TrackRow).where(TrackRow.shard_id == after, TrackRow.number == number)
        session.execute(linked.values(previous=previous))


def _edges(session: Session, shard_id: int, condition: ColumnElement[bool]) -> list[ShardTrack]:
    query = select(TrackRow).where(TrackRow.shard_id == shard_id, condition).order_by(TrackRow.number)
    return [
        ShardTrack(
            *(row.number, row.first_ms, row.last_ms, row.frames, row.is_given),
            begin=TrackEdge.from_json(row.begin) if row.begin else None,
            end=TrackEdge.from_json(row.end) if row.end else None,
        )
        for row in session.scalars(query)
    ]


def _number_from(session: Session, shard: ShardRow, before: int | None) -> dict[int, int]:
    """Number the tracks of a shard and of all later ones; return those of the shard.

    A given number may be in any shard, and no other track may get it: with given numbers, all shards are numbered.
    """
    of_video = (TrackRow.run_id == shard.run_id, ShardRow.video_id == shard.video_id)
    joined = ShardRow.id == TrackRow.shard_id
    given = session.scalar(
        select(func.max(TrackRow.number)).join(ShardRow, joined).where(*of_video, TrackRow.is_given)
    )
    start_ms = shard.start_ms if given is None else 0
    earlier = session.scalar(
        select(func.max(TrackRow.track_id))
        .join(ShardRow, joined)
        .where(*of_video, ShardRow.start_ms < start_ms)
    )
    rows = session.execute(
        select(TrackRow.shard_id, TrackRow.number, TrackRow.previous, TrackRow.is_given, TrackRow.track_id)
        .join(ShardRow, joined)
        .where(*of_video, ShardRow.start_ms >= start_ms)
        .order_by(ShardRow.start_ms, TrackRow.first_ms, TrackRow.number)
    ).all()
    by_shard = {key: list(group) for key, group in groupby(rows, key=lambda row: row.shard_id)}
    numbered = number_tracks(
        [[NumberedTrack(r.number, r.previous, r.is_given) for r in tracks] for tracks in by_shard.values()],
        known=_numbers_of(session, before) if given is None else {},
        first_free=1 + max(given or 0, earlier or 0),
    )
    new: dict[int, dict[int, int]] = dict(zip(by_shard, numbered, strict=True))
    for shard_id, numbers in new.items():
        _renumber(session, shard, shard_id, {row.number: row.track_id for row in by_shard[shard_id]}, numbers)
    return new[shard.id]


def _numbers_of(session: Session, shard_id: int | None) -> dict[int, int]:
    query = select(TrackRow.number, TrackRow.track_id).where(TrackRow.shard_id == shard_id)
    return {number: track_id for number, track_id in session.execute(query).tuples() if track_id is not None}


def _renumber(
    session: Session, shard: ShardRow, shard_id: int, old: Mapping[int, int | None], new: Mapping[int, int]
) -> None:
    """Store the changed numbers of a shard of this shard's video, and change its instances."""
    changed = [number for number in new if new[number] != old[number]]
    if not changed:
        return
    for number in changed:
        one = update(TrackRow).where(TrackRow.shard_id == shard_id, TrackRow.number == number)
        session.execute(one.values(track_id=new[number]))
    if shard_id == shard.id:  # its instances are not stored yet
        return
    changes = {old[number]: new[number] for number in changed}
    first_ms, last_ms = session.execute(
        select(func.min(TrackRow.first_ms), func.max(TrackRow.last_ms)).where(TrackRow.shard_id == shard_id)
    ).one()
    frames = select(FrameRow.id).where(
        *(FrameRow.video_id == shard.video_id, FrameRow.image_index.is_(None)),
        *(FrameRow.pts_ms >= first_ms, FrameRow.pts_ms <= last_ms),
    )
    instances = update(InstanceRow).where(
        *(InstanceRow.run_id == shard.run_id, InstanceRow.role == "teacher"),
        *(InstanceRow.frame_id.in_(frames), InstanceRow.track_id.is_not(None)),
    )
    renumbered = case(changes, value=InstanceRow.track_id, else_=InstanceRow.track_id)
    session.execute(instances.values(track_id=renumbered).execution_options(synchronize_session=False))
