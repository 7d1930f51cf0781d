"""Find, and on request delete, images, rows and kept predictions that no run needs any more."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.orm import Session

from configs.errors import AlreadyRunning, ConfigError
from db.datasets.writes import delete_unreferenced
from db.models.core import utc_now
from db.runs.garbage import (
    UnneededRun,
    count_run,
    delete_predictions,
    images_by_folder,
    is_reviewed,
    models_and_videos,
    unneeded_runs,
    writer_host,
)
from db.runs.queries import latest_run
from db.runs.writes import model_id
from labeling.segmenters.kept import model_key
from labeling.storage.atomic import WRITING_PREFIX
from labeling.storage.home import Home
from labeling.storage.image_files import (
    KeptFile,
    delete_file,
    delete_folder,
    image_folders,
    unfinished_folders,
)
from labeling.storage.predictions import PredictionFile, prediction_files
from tasks.datasets.order import LOCK
from tasks.execution.context import Context

DAY_S = 86_400
MAX_LISTED = 20
"""Files listed by name; there may be a million."""


@dataclass(slots=True)
class Garbage:
    """What no run needs, or what was deleted of it."""

    deleted: bool
    """False: a dry run."""
    runs: list[UnneededRun]
    images: int = 0
    """Images that no run refers to."""
    predictions: int = 0
    """Files of kept predictions that no run needs."""
    unfinished: int = 0
    """Temporary files and folders of killed writers."""
    bytes: int = 0
    files: list[str] = field(default_factory=list)
    """The names of the first MAX_LISTED files."""

    def add(self, file: KeptFile) -> None:
        """Count a file in the folder of images."""
        self.unfinished += file.is_unfinished
        self.images += not file.is_unfinished
        self._list(file.stored, file.bytes)

    def add_prediction(self, file: PredictionFile, home: Home) -> None:
        """Count a file of predictions."""
        self.predictions += 1
        self._list(str(file.path.relative_to(home.root)), file.bytes)

    def _list(self, name: str, size: int) -> None:
        self.bytes += size
        if len(self.files) < MAX_LISTED:
            self.files.append(name)


@dataclass(frozen=True, slots=True)
class Ages:
    """Minimum ages in days of what may be deleted."""

    files: float = 1.0
    """A run in progress may have written an image whose row is not committed yet."""
    runs: float = 30.0
    """Also of kept predictions of models that are no run's teacher or student: those of a pose model or verifier, or
    of an earlier version of the code."""
    retention: float | None = None
    """Days after which runs lose their predictions and images even if no later run replaced them; None: never."""


def collect_garbage(context: Context, ages: Ages, *, run: str | None = None, delete: bool = False) -> Garbage:
    """Find predictions of superseded and expired runs (or of `run`), images and kept predictions that no run needs, and unfinished
    files.

    If it is killed, the next call continues.

    Raises:
        ConfigError: `run` was sent for review, so its predictions stay.
        AlreadyRunning: `delete`, and a run, another collection or `dataset create` is in progress.
        HomeNotWritable: no permission to delete.
    """
    if not delete:
        with context.database.session() as session:
            found = Garbage(deleted=False, runs=_runs(session, ages, run))
        return _add_predictions(context, _add_files(context, found, ages), ages)
    with context.database.exclusive("gc"), context.database.exclusive(LOCK):
        with context.database.transaction() as session:
            if location := writer_host(session):
                raise AlreadyRunning(
                    f"a run is in progress on {location}: wait until it ends (if it was killed, "
                    "`maskmill recover` frees it), then run this again"
                )
            found = Garbage(deleted=True, runs=_runs(session, ages, run))
            for unneeded in found.runs:
                delete_predictions(session, unneeded.id)
            delete_unreferenced(session)
        return _add_predictions(context, _add_files(context, found, ages), ages)


def _runs(session: Session, ages: Ages, run_id: str | None) -> list[UnneededRun]:
    if run_id is None:
        now = utc_now()
        expired = None if ages.retention is None else now - timedelta(days=ages.retention)
        return unneeded_runs(session, superseded_before=now - timedelta(days=ages.runs), any_before=expired)
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
    for folder in unfinished_folders(context.home):
        if folder.age_s >= min_age_s:
            if found.deleted:
                delete_folder(context.home, folder)
            found.add(folder)
    return found


def _add_predictions(context: Context, found: Garbage, ages: Ages) -> Garbage:
    """Add the kept predictions of runs that are gone. They are only there to save time: the frames can be inferred again."""
    with context.database.session() as session:
        cards, pairs = models_and_videos(session, without_runs=[run.id for run in found.runs])
    keys = {model_id(card): model_key(card) for card in cards}
    needed = {(keys[model], video_id) for model, video_id in pairs if model in keys}
    videos = {video_id for _, video_id in pairs}
    for file in prediction_files(context.home.predictions):
        is_unfinished = file.path.name.startswith(WRITING_PREFIX)
        is_known = file.video_id not in videos or file.model_key in keys.values() or is_unfinished
        min_age_s = DAY_S * (ages.files if is_known else max(ages.files, ages.runs))
        is_needed = (file.model_key, file.video_id) in needed and not is_unfinished
        if not is_needed and file.age_s >= min_age_s:
            if found.deleted:
                file.delete()
            found.add_prediction(file, context.home)
    return found


def _unreferenced(home: Home, referenced: Iterator[tuple[str, Collection[str]]]) -> Iterator[KeptFile]:
    """Yield files on disk that the database does not name; both sides come sorted by folder."""
    known: tuple[str, Collection[str]] | None = next(referenced, None)
    for folder, files in image_folders(home):
        while known is not None and known[0] < folder:
            known = next(referenced, None)
        here = known[1] if known is not None and known[0] == folder else ()
        yield from (file for file in files if file.stored not in here)
