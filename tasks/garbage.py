"""Find, and on request delete, images and predictions that no run needs any more."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.orm import Session

from configs.errors import AlreadyRunning, ConfigError
from db.datasets.writes import delete_unreferenced
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
from labeling.storage.home import Home
from labeling.storage.image_files import KeptFile, delete_file, image_folders
from tasks.execution.context import Context

DAY_S = 86_400
MAX_LISTED = 20
"""Files listed by name; there may be a million."""


@dataclass(slots=True)
class Garbage:
    """What no run needs, or what was deleted of it."""

    deleted: bool
    """False: a dry run."""
    runs: list[SupersededRun]
    images: int = 0
    """Images that no run refers to."""
    unfinished: int = 0
    """Temporary files of killed writers."""
    bytes: int = 0
    files: list[str] = field(default_factory=list)
    """The names of the first MAX_LISTED files."""

    def add(self, file: KeptFile) -> None:
        self.unfinished += file.is_unfinished
        self.images += not file.is_unfinished
        self.bytes += file.bytes
        if len(self.files) < MAX_LISTED:
            self.files.append(file.stored)


@dataclass(frozen=True, slots=True)
class Ages:
    """Minimum ages in days of what may be deleted."""

    files: float = 1.0
    """A run in progress may have written an image whose row is not committed yet."""
    runs: float = 30.0


def collect_garbage(context: Context, ages: Ages, *, run: str | None = None, delete: bool = False) -> Garbage:
    """Find predictions of superseded runs (or of `run`), images that no run refers to, and unfinished files.

    If it is killed, the next call continues.

    Raises:
        ConfigError: `run` was sent for review, so its predictions stay.
        AlreadyRunning: `delete`, and a run, another collection or `dataset create` is in progress.
        HomeNotWritable: no permission to delete.
    """
    if not delete:
        with context.database.session() as session:
            found = Garbage(deleted=False, runs=_runs(session, ages, run))
        return _add_files(context, found, ages)
    with context.database.alone("gc"), context.database.alone("dataset create"):
        with context.database.transaction() as session:
            if location := writer_host(session):
                raise AlreadyRunning(
                    f"a run is in progress on {location}: wait until it ends (if it was killed, "
                    "`maskmill recover` frees it), then run this again"
                )
            found = Garbage(deleted=True, runs=_runs(session, ages, run))
            for superseded in found.runs:
                delete_predictions(session, superseded.id)
            delete_unreferenced(session)
        return _add_files(context, found, ages)


def _runs(session: Session, ages: Ages, run_id: str | None) -> list[SupersededRun]:
    if run_id is None:
        return superseded_runs(session, before=utc_now() - timedelta(days=ages.runs))
    run = latest_run(session, run_id)
    if is_reviewed(session, run.id):
        raise ConfigError(f"frames of run {run.id} were sent for review: its predictions stay")
    return [count_run(session, run)]


def _add_files(context: Context, found: Garbage, ages: Ages) -> Garbage:
    """Add the files that are old enough, deleting them unless this is a dry run."""
    min_age_s = ages.files * DAY_S
    with context.database.session() as session:
        referenced = images_by_folder(session, without_runs=[run.id for run in found.runs])
        for file in _unreferenced(context.home, referenced):
            if file.age_s >= min_age_s and (
                not found.deleted or delete_file(context.home, file, older_than_s=min_age_s)
            ):
                found.add(file)
    return found


def _unreferenced(home: Home, referenced: Iterator[tuple[str, Collection[str]]]) -> Iterator[KeptFile]:
    """Yield files on disk that the database does not name; both sides come sorted by folder."""
    known: tuple[str, Collection[str]] | None = next(referenced, None)
    for folder, files in image_folders(home):
        while known is not None and known[0] < folder:
            known = next(referenced, None)
        here = known[1] if known is not None and known[0] == folder else ()
        yield from (file for file in files if file.stored not in here)
