"""Who works on which shard: claims that end with a shard, on purpose, or with whoever made them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from sqlalchemy import ColumnElement, DateTime, delete, func, literal, select, update
from sqlalchemy.orm import Session

from db.models.core import Execution, ShardRow, utc_now
from db.sql.upsert import upsert

BEAT_S = 5.0
"""Between two signs of life."""
LEASE_S = 30.0
"""Heartbeat age after which a lease of another machine expires, if its lock is free too."""
LOST_MACHINE_S = 600.0
"""The same if the lock is still held: the database may wait for a machine that lost its power."""
MAX_DEATHS = 3
"""Workers that one shard may cost a run before it counts as failed."""


@dataclass(frozen=True, slots=True)
class SilentExecution:
    """One that may be dead: its last sign of life is a while ago."""

    id: str
    place: str
    process: str | None
    seen_at: datetime
    silent_s: float


def enter_execution(
    session: Session, execution_id: str, *, flow: str, place: str, process: str | None = None
) -> None:
    """Begin to be at work; whatever an earlier life under the same id held is free again."""
    leave_execution(session, execution_id)
    now = _now(session)
    session.add(
        Execution(id=execution_id, flow=flow, place=place, process=process, began_at=now, seen_at=now)
    )


def give_sign_of_life(
    session: Session, execution_id: str, *, flow: str, place: str, process: str | None = None
) -> None:
    """Be seen; who was taken for dead, because its machine or the database slept, is at work again."""
    seen = update(Execution).where(Execution.id == execution_id).values(seen_at=_now(session))
    if not session.execute(seen).rowcount:  # type: ignore[attr-defined]  # of CursorResult
        now = session.execute(select(_now(session))).scalar_one()
        moments = {"began_at": now, "seen_at": now}
        row = {"id": execution_id, "flow": flow, "place": place, "process": process, **moments}
        upsert(session, Execution, [row], update_columns=["seen_at"])


def leave_execution(session: Session, execution_id: str) -> None:
    """End to be at work, on purpose."""
    release_shards(session, execution_id)
    session.execute(delete(Execution).where(Execution.id == execution_id))


def bury_execution(session: Session, execution_id: str, *, seen_at: datetime | None = None) -> int | None:
    """Expire a lease and free its shards; return how many there were.

    None, and nothing is changed, if the last heartbeat is not the one of `seen_at`: the process lives, or
    the run was started again.
    """
    # it may be alive after all, and making a claim: that is waited for
    held = select(Execution.seen_at).where(Execution.id == execution_id).with_for_update()
    last = session.scalar(held)
    if seen_at is not None and last != seen_at:
        return None
    mine = update(ShardRow).where(ShardRow.claimed_by == execution_id)
    freed = session.execute(mine.values(claimed_by=None, deaths=ShardRow.deaths + 1))
    session.execute(delete(Execution).where(Execution.id == execution_id))
    return freed.rowcount  # type: ignore[attr-defined,no-any-return]  # of CursorResult


def silent_executions(session: Session, *, silent_s: float) -> list[SilentExecution]:
    """Those that have given no sign of life for so long, or longer."""
    now = session.execute(select(_now(session))).scalar_one()
    quiet = select(Execution).where(Execution.seen_at <= now - timedelta(seconds=silent_s))
    return [
        SilentExecution(row.id, row.place, row.process, row.seen_at, (now - row.seen_at).total_seconds())
        for row in session.scalars(quiet.order_by(Execution.id))
    ]


def who_is_at_work(session: Session) -> set[str]:
    """Ids of executions."""
    return set(session.scalars(select(Execution.id)))


def hearing_s(session: Session) -> float:
    """For how long the database has been there to take signs of life; a file always was."""
    if session.get_bind().dialect.name != "postgresql":
        return inf
    up = func.extract("epoch", func.clock_timestamp() - func.pg_postmaster_start_time())
    return float(session.execute(select(up)).scalar_one())


def claim_shard(session: Session, run_id: str, execution_id: str) -> ShardRow | None:
    """The run's next shard that nobody has; None: there is none.

    First come, first served, but those that somebody died of come last: one that kills its workers
    holds up no other. On PostgreSQL several may ask at once; each gets another one.
    """
    free = select(ShardRow).where(
        ShardRow.run_id == run_id, ShardRow.state == "planned", ShardRow.claimed_by.is_(None)
    )
    first = free.order_by(ShardRow.deaths, *in_order()).limit(1).with_for_update(skip_locked=True)
    shard = session.scalar(first)
    if shard:
        shard.claimed_by = execution_id
    return shard


def in_order() -> tuple[ColumnElement[datetime], ColumnElement[str], ColumnElement[int]]:
    """Shards as they came, each video from its beginning."""
    return (ShardRow.planned_at.expression, ShardRow.video_id.expression, ShardRow.start_ms.expression)


def holds_shard(session: Session, shard_id: int, execution_id: str) -> bool:
    """Whether a claim still holds: not after a cancellation, nor when others took us for dead."""
    mine = select(ShardRow.id).where(ShardRow.id == shard_id, ShardRow.claimed_by == execution_id)
    return session.scalar(mine) is not None


def release_shards(session: Session, execution_id: str) -> None:
    """Let others have all that is claimed; who works on them ends between two batches."""
    session.execute(update(ShardRow).where(ShardRow.claimed_by == execution_id).values(claimed_by=None))


def release_shard(session: Session, shard_id: int, execution_id: str, *, died: bool) -> int:
    """Requeue a shard that this execution holds; return how many workers it has cost so far."""
    changes = update(ShardRow).where(ShardRow.id == shard_id, ShardRow.claimed_by == execution_id)
    session.execute(changes.values(claimed_by=None, deaths=ShardRow.deaths + int(died)))
    return session.scalar(select(ShardRow.deaths).where(ShardRow.id == shard_id)) or 0


def claimed_by_others(session: Session, run_id: str, execution_id: str) -> int:
    """Shards of a run that somebody else works on."""
    others = (ShardRow.run_id == run_id, ShardRow.state == "planned", ShardRow.claimed_by != execution_id)
    return session.scalar(select(func.count()).select_from(ShardRow).where(*others)) or 0


def _now(session: Session) -> ColumnElement[datetime]:
    """One clock for all machines: the database's. Beside SQLite everybody has the same."""
    if session.get_bind().dialect.name == "postgresql":
        return func.timezone("UTC", func.clock_timestamp())
    return literal(utc_now(), DateTime())
