"""What nothing in the ledger needs any more: whole runs whose place others have taken."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session, aliased

from db.models.core import AgreementRow, DecisionRow, Execution, InstanceRow, RunRow, ShardRow
from db.models.review import AnnotationRow, ModelScoreRow, ReviewRow

_WRITERS = ("generate-dataset", "label-shards")
"""The flows that keep images."""


@dataclass(frozen=True, slots=True)
class SupersededRun:
    """A run whose predictions nobody needs."""

    id: str
    name: str
    worked_at: datetime
    """UTC."""
    instances: int
    frames: int
    """With a decision of this run."""


def superseded_runs(session: Session, *, before: datetime) -> list[SupersededRun]:
    """Runs that nobody worked on since then, that people were never asked about, and after which another
    run under the same name was finished."""
    later = aliased(RunRow)
    taken_over = (
        select(later.id)
        .where(later.name == RunRow.name, later.worked_at > RunRow.worked_at, later.finished_at.is_not(None))
        .exists()
    )
    query = select(RunRow).where(RunRow.worked_at < before, taken_over).order_by(RunRow.worked_at, RunRow.id)
    return [
        found
        for run in session.scalars(query)
        if not is_reviewed(session, run.id) and (found := count_run(session, run)).frames
    ]


def is_reviewed(session: Session, run_id: str) -> bool:
    """Whether people were asked about its masks, or wait to be, or said anything about them."""
    asked = select(ReviewRow.frame_id).where(ReviewRow.run_id == run_id).limit(1)
    said = select(AnnotationRow.id).where(AnnotationRow.run_id == run_id).limit(1)
    return session.scalar(asked) is not None or session.scalar(said) is not None


def count_run(session: Session, run: RunRow) -> SupersededRun:
    instances = select(func.count()).where(InstanceRow.run_id == run.id)
    frames = select(func.count()).where(DecisionRow.run_id == run.id)
    return SupersededRun(
        run.id, run.name, run.worked_at, session.scalar(instances) or 0, session.scalar(frames) or 0
    )


def delete_predictions(session: Session, run_id: str) -> None:
    """What a run said about its frames; its shards are to be done again if it is ever wanted again."""
    for table in (ModelScoreRow, InstanceRow, AgreementRow, DecisionRow):
        session.execute(delete(table).where(table.run_id == run_id))
    undone: dict[str, Any] = {
        "state": "planned",
        "counts": {},
        "seconds": {},
        "agreement_histogram": {},
        "finished_at": None,
    }
    session.execute(update(ShardRow).where(ShardRow.run_id == run_id).values(undone))
    session.execute(update(RunRow).where(RunRow.id == run_id).values(finished_at=None, counts={}))


def somebody_at_work(session: Session) -> str | None:
    """Where a run is at work that may have written images whose rows are still to come; None: nowhere."""
    writes = Execution.flow.in_(_WRITERS)
    return session.scalar(select(Execution.place).where(writes).order_by(Execution.seen_at.desc()).limit(1))


def images_by_folder(session: Session, *, without_runs: Collection[str]) -> Iterator[tuple[str, set[str]]]:
    """The images that some run refers to, but for these runs: a folder at a time, in order."""
    query = (
        select(DecisionRow.image)
        .where(DecisionRow.image.is_not(None), DecisionRow.run_id.not_in(without_runs))
        .distinct()
        .order_by(DecisionRow.image)
        .execution_options(yield_per=2000)
    )
    with session.execute(query) as rows:  # PostgreSQL holds a cursor open until then
        images = (image for image in rows.scalars() if image)
        for folder, inside in groupby(images, key=lambda image: image.rpartition("/")[0]):
            yield folder, set(inside)
