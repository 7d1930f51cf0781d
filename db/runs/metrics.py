"""Sums over all runs of a database, for monitoring: few statements, each grouped by the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from configs.errors import NoRunYet
from db.models.core import Base, LeaseRow, RunSourceRow, ShardRow
from db.models.review import ReviewRow
from db.runs.overview import count_for_people
from db.runs.queries import FAILED_FRAME, latest_run
from labeling.runtime.prefetch import STAGES

DECISIONS = ("easy", "accepted", "review", "rejected")
_COUNTED = ("sampled", "easy", "accepted", "review", "hard", f"rejected:{FAILED_FRAME}")


@dataclass(frozen=True, slots=True)
class HomeTotals:
    """Counts over all runs, except where another scope is given."""

    frames: Mapping[str, int]
    """Sampled frames by decision."""
    hard: int
    """Frames on which student and teacher disagree."""
    failed_frames: int
    """Frames that a model's wrong output made unusable."""
    stage_s: Mapping[str, float]
    """Wall seconds by stage of all shards; `teacher` and `student` are inference."""
    shards: Mapping[str, int]
    """By state."""
    failed_shards: Mapping[str, int]
    """By error code."""
    failed_sources: Mapping[str, int]
    """By error code."""
    reviews: Mapping[str, int]
    """Frames in the outbox of the review by state."""
    waiting: int
    """Frames of the latest run that are to be reviewed and have no consensus."""
    active_flows: int
    """Flows that hold a lease."""
    worked_at: datetime | None
    """Last work on the latest run, UTC; None: there is no run."""


def home_totals(session: Session) -> HomeTotals:
    """Return the totals of a database."""
    columns = [func.sum(ShardRow.counts[name].as_integer()) for name in _COUNTED]
    columns += [func.sum(ShardRow.seconds[stage].as_float()) for stage in STAGES]
    summed = [value or 0 for value in session.execute(select(*columns)).one()]
    counts = dict(zip(_COUNTED, summed, strict=False))
    frames = {name: int(counts[name]) for name in DECISIONS[:-1]}
    frames["rejected"] = int(counts["sampled"]) - sum(frames.values())
    try:
        latest = latest_run(session)
    except NoRunYet:
        latest = None
    return HomeTotals(
        frames=frames,
        hard=int(counts["hard"]),
        failed_frames=int(counts[f"rejected:{FAILED_FRAME}"]),
        stage_s=dict(zip(STAGES, map(float, summed[len(_COUNTED) :]), strict=True)),
        shards=_count_by(session, ShardRow, ShardRow.state),
        failed_shards=_failures(session, ShardRow.error_code, ShardRow.state),
        failed_sources=_failures(session, RunSourceRow.error_code, RunSourceRow.state),
        reviews=_count_by(session, ReviewRow, ReviewRow.state),
        waiting=count_for_people(session, latest.id) if latest else 0,
        active_flows=session.scalar(select(func.count()).select_from(LeaseRow)) or 0,
        worked_at=latest.worked_at if latest else None,
    )


def _count_by(session: Session, table: type[Base], column: InstrumentedAttribute[str]) -> dict[str, int]:
    query = select(column, func.count()).select_from(table).group_by(column)
    return dict(session.execute(query).tuples().all())


def _failures(
    session: Session, code: InstrumentedAttribute[str | None], state: InstrumentedAttribute[str]
) -> dict[str, int]:
    query = select(code, func.count()).where(state == "failed").group_by(code)
    return {name or "error": count for name, count in session.execute(query).tuples()}
