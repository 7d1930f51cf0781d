"""Finds and deletes runs that a later run of the same name has superseded, or that are old."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import CompoundSelect, and_, delete, or_, select, union, update
from sqlalchemy.orm import Session, aliased

from configs.errors import ConfigError
from db.models.core import (
    AgreementRow,
    DecisionRow,
    InstanceRow,
    LeaseRow,
    ModelRow,
    PassedOverRow,
    RunRow,
    RunSourceRow,
    ShardRow,
    TrackRow,
)
from db.models.datasets import FrameLabelsRow
from db.models.review import AnnotationRow, ModelScoreRow, PropagationRow, ReviewRow
from db.sql.reading import count_rows
from labeling.structures.instances import ModelCard

_PREDICTIONS = (ModelScoreRow, InstanceRow, TrackRow, AgreementRow, DecisionRow)
_WRITERS = ("generate-dataset", "label-shards")
"""Flows that store images."""


@dataclass(frozen=True, slots=True)
class UnneededRun:
    """A run whose predictions can be deleted."""

    id: str
    name: str
    worked_at: datetime
    """UTC."""
    instances: int
    frames: int
    """Frames with a decision of this run."""


def unneeded_runs(
    session: Session, *, superseded_before: datetime, any_before: datetime | None = None
) -> list[UnneededRun]:
    """Return runs that were never reviewed and not worked on since a moment.

    Args:
        session: of the database.
        superseded_before: of runs whose name a later finished run has.
        any_before: of all runs; None: other runs stay.
    """
    later = aliased(RunRow)
    superseded = (
        select(later.id)
        .where(later.name == RunRow.name, later.worked_at > RunRow.worked_at, later.finished_at.is_not(None))
        .exists()
    )
    is_old = and_(RunRow.worked_at < superseded_before, superseded)
    if any_before is not None:
        is_old = or_(is_old, RunRow.worked_at < any_before)
    query = select(RunRow).where(is_old).order_by(RunRow.worked_at, RunRow.id)
    unreviewed = (run for run in session.scalars(query) if not is_reviewed(session, run.id))
    return [counted for run in unreviewed if (counted := count_run(session, run)).frames]


def is_reviewed(session: Session, run_id: str) -> bool:
    """Return whether any of its frames was queued for review or annotated."""
    carried = select(PropagationRow.id).where(PropagationRow.run_id == run_id).limit(1)
    queued = select(ReviewRow.frame_id).where(ReviewRow.run_id == run_id).limit(1)
    annotated = select(AnnotationRow.id).where(AnnotationRow.run_id == run_id).limit(1)
    return any(session.scalar(query) is not None for query in (queued, annotated, carried))


def count_run(session: Session, run: RunRow) -> UnneededRun:
    instances = count_rows(session, InstanceRow, InstanceRow.run_id == run.id)
    frames = count_rows(session, DecisionRow, DecisionRow.run_id == run.id)
    return UnneededRun(run.id, run.name, run.worked_at, instances, frames)


def delete_predictions(session: Session, run_id: str) -> None:
    """Delete what a run stored about its frames; its shards are planned again in case it is resumed."""
    for table in _PREDICTIONS:
        session.execute(delete(table).where(table.run_id == run_id))
    planned: dict[str, Any] = {
        "state": "planned",
        "counts": {},
        "seconds": {},
        "agreement_histogram": {},
        "finished_at": None,
    }
    session.execute(update(ShardRow).where(ShardRow.run_id == run_id).values(planned))
    session.execute(update(RunRow).where(RunRow.id == run_id).values(finished_at=None, counts={}))


def delete_run(session: Session, run_id: str) -> None:
    """Delete a run that was never reviewed, with all it stored; frames, videos and images belong to all runs.

    Raises:
        ConfigError: its frames were sent for review or annotated, or a run is executing.
    """
    if is_reviewed(session, run_id):
        raise ConfigError(
            f"run {run_id} stays: its frames were sent for review, and the reviews are used by other runs too"
        )
    if host := writer_host(session):
        raise ConfigError(
            f"a run is executing at {host}: stop it first; if it has crashed, `maskmill recover` ends it"
        )
    for table in (*_PREDICTIONS, ShardRow, RunSourceRow, PassedOverRow):
        session.execute(delete(table).where(table.run_id == run_id))
    session.execute(delete(RunRow).where(RunRow.id == run_id))


def models_and_videos(
    session: Session, *, without_runs: Collection[str]
) -> tuple[list[ModelCard], set[tuple[str, str]]]:
    """Return what runs with predictions use, but for these runs.

    Returns:
        Their teachers and students; pairs of model id and video id, of models and videos of one run.
    """
    has_frames = select(DecisionRow.frame_id).where(DecisionRow.run_id == RunRow.id).exists()
    live = session.scalars(select(RunRow).where(RunRow.id.not_in(without_runs), has_frames)).all()
    pairs = {
        (model, video_id)
        for run in live
        for video_id in session.scalars(select(ShardRow.video_id).where(ShardRow.run_id == run.id).distinct())
        for model in run.models.values()
    }
    used = {model for model, _ in pairs}
    rows = [row for row in session.scalars(select(ModelRow)) if row.id in used]
    return [ModelCard(row.kind, row.name, row.weights_sha256, row.settings) for row in rows], pairs


def writer_host(session: Session) -> str | None:
    """Return where a run is executing that may have stored images without their rows yet, or None."""
    writes = LeaseRow.flow.in_(_WRITERS)
    return session.scalar(select(LeaseRow.host).where(writes).order_by(LeaseRow.heartbeat_at.desc()).limit(1))


def images_by_folder(session: Session, *, without_runs: Collection[str]) -> Iterator[tuple[str, set[str]]]:
    """Yield the images that other runs than these, or dataset versions, refer to, a folder at a time, in order."""
    of_runs = select(DecisionRow.image.label("image")).where(
        DecisionRow.image.is_not(None), DecisionRow.run_id.not_in(without_runs)
    )
    of_versions = select(FrameLabelsRow.image.label("image"))
    query: CompoundSelect[tuple[str | None]] = (
        union(of_runs, of_versions).order_by("image").execution_options(yield_per=2000)
    )
    with session.execute(query) as rows:  # closes PostgreSQL's cursor
        images = (image for image in rows.scalars() if image)
        for folder, group in groupby(images, key=lambda image: image.rpartition("/")[0]):
            yield folder, set(group)
