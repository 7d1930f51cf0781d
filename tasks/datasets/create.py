"""Make a version of a dataset: choose frames, divide them, freeze their labels."""

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from configs.errors import ConfigError
from db.datasets.queries import VersionLine, find_version, version_line
from db.datasets.selection import run_records
from db.datasets.writes import NewVersion, require_dataset, store_version
from db.sql.reading import read_consistently
from labeling.datasets.splits.assignment import TEST_ONLY
from labeling.datasets.versions.content import snapshot_id
from labeling.datasets.versions.query import check_name
from tasks.datasets.choose import ChosenFrames, choose_frames
from tasks.datasets.divide import DividedFrames, divide_frames
from tasks.datasets.freeze import FrozenFrames, freeze_version, with_earlier
from tasks.datasets.order import LOCK, DatasetOrder
from tasks.datasets.strata import count_strata, untested
from tasks.execution.context import Context


@dataclass(frozen=True, slots=True)
class CreatedDataset:
    """A version that was made, or the latest one if it has the same content."""

    version: VersionLine
    is_new: bool
    groups: int
    """Groups of videos that were assigned now."""
    excluded: dict[str, int]
    """Frames that were left out, by reason."""
    untested: list[str]
    """Causes and sizes with frames, but none in test."""


def create_dataset(context: Context, order: DatasetOrder) -> CreatedDataset:
    """Make a version of a dataset from what the database holds now; the same content again makes nothing.

    It can be killed and started again at any moment: a version is there completely or not at all.

    Raises:
        ConfigError: no such run, no frame, or the name has a version that is divided otherwise.
        AlreadyRunning: another version is being made on this database, or garbage is collected.
    """
    check_name(order.name)
    if order.is_frozen:
        order = replace(order, division=replace(order.division, shares=TEST_ONLY))
    with context.database.exclusive(LOCK), context.database.session() as session:
        read_consistently(session)
        frames = choose_frames(session, order.query)
        divided = divide_frames(context, session, order, frames)
        version = freeze_version(context, session, frames, divided)
        if order.is_frozen:
            version = with_earlier(session, order.name, version)
        if not len(version.ids):
            raise ConfigError(_why_empty(order, divided))
        new = _new_version(session, order, frames, divided, version)
        return _store(context, order, divided, new, version)


def _why_empty(order: DatasetOrder, divided: DividedFrames) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in divided.excluded.items())
    no_more = f"no {'other ' if reasons else ''}frame is {' or '.join(order.query.decisions)}"
    return (
        f"dataset {order.name} would be empty: {f'left out {reasons}, and ' if reasons else ''}{no_more} and fulfills the "
        "conditions; see `maskmill status`, or add --decision review or easy"
    )


def _new_version(
    session: Session,
    order: DatasetOrder,
    frames: ChosenFrames,
    divided: DividedFrames,
    version: FrozenFrames,
) -> NewVersion:
    credits = version.used_credits()
    return NewVersion(
        name=order.name,
        query=order.query.record([run.id for run in frames.runs]),
        runs=list(run_records(session, frames.runs)),
        excluded=divided.excluded,
        snapshot_id=snapshot_id(credits, version.labels_in_order()),
        videos=credits,
        frames=len(version.ids),
    )


def _store(
    context: Context, order: DatasetOrder, divided: DividedFrames, new: NewVersion, version: FrozenFrames
) -> CreatedDataset:
    division = order.division
    with context.database.transaction() as writing:
        require_dataset(
            writing, order.name, shares=division.shares, seed=division.seed, is_frozen=order.is_frozen
        )
        made, is_new = store_version(writing, new, version.placed())
        line = version_line(writing, made)
    with context.database.session() as reading:
        missing = untested(count_strata(reading, find_version(reading, line.full_name)))
    return CreatedDataset(line, is_new, divided.groups, divided.excluded, missing)
