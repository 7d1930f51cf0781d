"""Leases with heartbeats, and the shards that they hold."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from sqlalchemy import ColumnElement, DateTime, delete, func, literal, select, update
from sqlalchemy.orm import Session

from db.models.core import LeaseRow, ShardRow, utc_now
from db.sql.upsert import upsert

HEARTBEAT_S = 5.0
"""Seconds between two heartbeats."""
LEASE_S = 30.0
"""Heartbeat age after which a lease of another machine expires, if its lock is free too."""
LOST_MACHINE_S = 600.0
"""The same if the lock is still held: the database may wait for a machine that lost its power."""
MAX_CRASHES = 3
"""Worker crashes after which a shard is failed."""


@dataclass(frozen=True, slots=True)
class StaleLease:
    """A lease whose last heartbeat is `age_s` old."""

    id: str
    host: str
    process: str | None
    heartbeat_at: datetime
    age_s: float


def register_lease(
    session: Session, lease_id: str, *, flow: str, host: str, process: str | None = None
) -> None:
    """Create a lease; shards held by an earlier lease of the same id become free."""
    release_lease(session, lease_id)
    now = _now(session)
    session.add(
        LeaseRow(id=lease_id, flow=flow, host=host, process=process, started_at=now, heartbeat_at=now)
    )


def record_heartbeat(
    session: Session, lease_id: str, *, flow: str, host: str, process: str | None = None
) -> None:
    """Record a heartbeat; register again if the lease had expired."""
    seen = update(LeaseRow).where(LeaseRow.id == lease_id).values(heartbeat_at=_now(session))
    if not session.execute(seen).rowcount:  # type: ignore[attr-defined]  # of CursorResult
        now = session.execute(select(_now(session))).scalar_one()
        moments = {"started_at": now, "heartbeat_at": now}
        row = {"id": lease_id, "flow": flow, "host": host, "process": process, **moments}
        upsert(session, LeaseRow, [row], update_columns=["heartbeat_at"])


def release_lease(session: Session, lease_id: str) -> None:
    """Release a lease and its shards on a normal exit."""
    release_shards(session, lease_id)
    session.execute(delete(LeaseRow).where(LeaseRow.id == lease_id))


def expire_lease(session: Session, lease_id: str, *, heartbeat_at: datetime | None = None) -> int | None:
    """Expire a lease and free its shards; return how many there were.

    None, and nothing is changed, if the last heartbeat is not `heartbeat_at`: the process lives, or
    the run was started again.
    """
    # the lock waits for a claim that a living process may be making
    held = select(LeaseRow.heartbeat_at).where(LeaseRow.id == lease_id).with_for_update()
    last = session.scalar(held)
    if heartbeat_at is not None and last != heartbeat_at:
        return None
    mine = update(ShardRow).where(ShardRow.leased_by == lease_id)
    freed = session.execute(mine.values(leased_by=None, attempts_lost=ShardRow.attempts_lost + 1))
    session.execute(delete(LeaseRow).where(LeaseRow.id == lease_id))
    return freed.rowcount  # type: ignore[attr-defined,no-any-return]  # of CursorResult


def stale_leases(session: Session, *, age_s: float) -> list[StaleLease]:
    """Return the leases whose last heartbeat is at least `age_s` old."""
    now = session.execute(select(_now(session))).scalar_one()
    quiet = select(LeaseRow).where(LeaseRow.heartbeat_at <= now - timedelta(seconds=age_s))
    return [
        StaleLease(row.id, row.host, row.process, row.heartbeat_at, (now - row.heartbeat_at).total_seconds())
        for row in session.scalars(quiet.order_by(LeaseRow.id))
    ]


def live_lease_ids(session: Session) -> set[str]:
    """Return the ids of all leases."""
    return set(session.scalars(select(LeaseRow.id)))


def database_uptime_s(session: Session) -> float:
    """Return how long the database has been up to receive heartbeats; infinite for a file."""
    if session.get_bind().dialect.name != "postgresql":
        return inf
    up = func.extract("epoch", func.clock_timestamp() - func.pg_postmaster_start_time())
    return float(session.execute(select(up)).scalar_one())


def claim_shard(session: Session, run_id: str, lease_id: str) -> ShardRow | None:
    """Claim and return the next free shard of a run; None if there is none.

    The oldest comes first, and those whose workers crashed come last, so that they delay no other. On
    PostgreSQL concurrent callers get different shards.
    """
    free = select(ShardRow).where(
        ShardRow.run_id == run_id, ShardRow.state == "planned", ShardRow.leased_by.is_(None)
    )
    first = free.order_by(ShardRow.attempts_lost, *in_order()).limit(1).with_for_update(skip_locked=True)
    shard = session.scalar(first)
    if shard:
        shard.leased_by = lease_id
    return shard


def in_order() -> tuple[ColumnElement[datetime], ColumnElement[str], ColumnElement[int]]:
    """Return the order of shards: as planned, each video from its beginning."""
    return (ShardRow.planned_at.expression, ShardRow.video_id.expression, ShardRow.start_ms.expression)


def holds_shard(session: Session, shard_id: int, lease_id: str) -> bool:
    """Return whether a shard is still held; it is not after a cancellation or an expired lease."""
    mine = select(ShardRow.id).where(ShardRow.id == shard_id, ShardRow.leased_by == lease_id)
    return session.scalar(mine) is not None


def release_shards(session: Session, lease_id: str) -> None:
    """Free all shards of a lease; a worker on one of them stops between two batches."""
    session.execute(update(ShardRow).where(ShardRow.leased_by == lease_id).values(leased_by=None))


def release_shard(session: Session, shard_id: int, lease_id: str, *, worker_lost: bool) -> int:
    """Requeue a shard that this lease holds; return how many workers it has cost so far."""
    changes = update(ShardRow).where(ShardRow.id == shard_id, ShardRow.leased_by == lease_id)
    session.execute(changes.values(leased_by=None, attempts_lost=ShardRow.attempts_lost + int(worker_lost)))
    return session.scalar(select(ShardRow.attempts_lost).where(ShardRow.id == shard_id)) or 0


def leased_by_others(session: Session, run_id: str, lease_id: str) -> int:
    """Return the number of planned shards of a run that other leases hold."""
    others = (ShardRow.run_id == run_id, ShardRow.state == "planned", ShardRow.leased_by != lease_id)
    return session.scalar(select(func.count()).select_from(ShardRow).where(*others)) or 0


def _now(session: Session) -> ColumnElement[datetime]:
    """Return the database's time, one clock for all machines; with SQLite all are on one machine."""
    if session.get_bind().dialect.name == "postgresql":
        return func.timezone("UTC", func.clock_timestamp())
    return literal(utc_now(), DateTime())
