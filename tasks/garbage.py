"""Images and predictions that nothing needs any more: found, and taken away if asked."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.orm import Session

from configs.errors import ConfigError
from db.connection.database import Database
from db.models.core import utc_now
from db.runs.garbage import (
    SupersededRun,
    count_run,
    delete_predictions,
    images_by_folder,
    is_reviewed,
    superseded_runs,
    writer_host,
)
from db.runs.queries import latest_run
from labeling.errors import AlreadyRunning
from labeling.storage.home import Home
from labeling.storage.image_files import KeptFile, delete_file, image_folders
from tasks.execution.database import database_of

DAY_S = 86_400
NAMED = 20
"""Files that are told by name; there may be a million."""


@dataclass(slots=True)
class Garbage:
    """What nothing needs, or what was taken away of it."""

    deleted: bool
    """False: it was looked for only."""
    runs: list[SupersededRun]
    images: int = 0
    """That no run refers to."""
    unfinished: int = 0
    """Files that somebody was killed at."""
    bytes: int = 0
    files: list[str] = field(default_factory=list)
    """Some of them, by name."""

    def add(self, file: KeptFile) -> None:
        self.unfinished += file.is_unfinished
        self.images += not file.is_unfinished
        self.bytes += file.bytes
        if len(self.files) < NAMED:
            self.files.append(file.stored)


@dataclass(frozen=True, slots=True)
class Ages:
    """In days: from when on something may go."""

    files: float = 1.0
    """A run that is at work may have written an image whose row is still to come."""
    runs: float = 30.0


def collect_garbage(home: Home, ages: Ages, *, run: str | None = None, delete: bool = False) -> Garbage:
    """Find what nothing needs: superseded runs' predictions (or those of `run`), then images that no run
    refers to, and files whose writer was killed. Killed itself, it goes on where it was.

    Raises:
        ConfigError: people were asked about `run`: it stays.
        AlreadyRunning: `delete`, and a run or another collection is at work.
        HomeNotWritable: not allowed to delete.
    """
    database = database_of(home)
    if not delete:
        with database.session() as session:
            runs = _runs(session, ages, run)
        return _look_at_files(database, home, Garbage(deleted=False, runs=runs), ages, delete=False)
    with database.alone("gc"):
        with database.transaction() as session:
            _refuse_at_work(session)
            runs = _runs(session, ages, run)
            for found in runs:
                delete_predictions(session, found.id)
        return _look_at_files(database, home, Garbage(deleted=True, runs=runs), ages, delete=True)


def _refuse_at_work(session: Session) -> None:
    if place := writer_host(session):
        raise AlreadyRunning(
            f"a run is at work at {place}: wait for its end (or `maskmill recover`, if it was killed), then "
            "run this again"
        )


def _runs(session: Session, ages: Ages, run_id: str | None) -> list[SupersededRun]:
    if run_id is None:
        return superseded_runs(session, before=utc_now() - timedelta(days=ages.runs))
    run = latest_run(session, run_id)
    if is_reviewed(session, run.id):
        raise ConfigError(f"people were asked about frames of run {run.id}: its predictions stay")
    return [count_run(session, run)]


def _look_at_files(database: Database, home: Home, found: Garbage, ages: Ages, *, delete: bool) -> Garbage:
    older_than_s = ages.files * DAY_S
    with database.session() as session:
        referred = images_by_folder(session, without_runs=[run.id for run in found.runs])
        for file in _not_referred(home, referred):
            if file.age_s >= older_than_s and (
                not delete or delete_file(home, file, older_than_s=older_than_s)
            ):
                found.add(file)
    return found


def _not_referred(home: Home, referred: Iterator[tuple[str, Collection[str]]]) -> Iterator[KeptFile]:
    """Files of the disk that are not among the ledger's: both come folder by folder, in order."""
    known: tuple[str, Collection[str]] | None = next(referred, None)
    for folder, files in image_folders(home):
        while known is not None and known[0] < folder:
            known = next(referred, None)
        here = known[1] if known is not None and known[0] == folder else ()
        yield from (file for file in files if file.stored not in here)
