"""Jobs of the web page: uploaded videos, how to matte them, and their state. Each is a folder."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from configs.errors import AlreadyRunning, JobNotFound
from labeling.storage.atomic import WRITING_PREFIX, storage_errors, write_atomically

JobState = Literal["queued", "running", "done", "failed"]
BackgroundKind = Literal["color", "image", "video", "blur"]
MatteFormat = Literal["png", "webm", "mov"]

_ID = re.compile(r"[0-9a-f]{16}")
_JOB_FILE = "job.json"
_UPLOADING, _DELETING = ".uploading-", ".deleting-"


class Frozen(BaseModel):
    """A value that is stored or sent as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Frozen):
    """Why a file or a job failed, in words for its user."""

    code: str
    message: str


class JobFile(Frozen):
    """One uploaded video, or a file that was refused."""

    number: int
    """Position in the job, from 0."""
    name: str
    """As the user knows it: the file name, or `archive.zip: name`."""
    stem: str = ""
    """Name of its folder in `result`; empty if it was refused."""
    stored: str = ""
    """Path below the job's folder; empty if it was refused."""
    size_bytes: int = 0
    error: Problem | None = None
    crashes: int = 0
    """How often the process ended without an error while it worked on this video."""


class Background(Frozen):
    """The new background."""

    kind: BackgroundKind = "color"
    value: str = "#00b140"
    """The color, or the name of the uploaded file."""
    stored: str = ""
    """Path of the uploaded file below the job's folder."""


class Job(Frozen):
    """One request: videos with one background and one format."""

    id: str
    created_at: datetime
    state: JobState = "queued"
    background: Background = Background()
    format: MatteFormat = "png"
    files: tuple[JobFile, ...] = ()
    process: str | None = None
    """Identity of the process that works on it."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    crashes: int = 0
    """How often its process ended without an error while it worked on none of the videos."""
    error: Problem | None = None

    @property
    def is_finished(self) -> bool:
        return self.state in ("done", "failed")

    def videos(self) -> list[JobFile]:
        """Return the files that can be processed."""
        return [file for file in self.files if file.error is None]


def now() -> datetime:
    return datetime.now(UTC)


class JobStore:
    """The folder of all jobs: `<id>/` with `job.json`, `uploads/` and `result/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Create the folder, keep other servers out of it, and delete what killed servers left.

        Raises:
            AlreadyRunning: another server uses the folder.
            HomeNotWritable, DiskFull: the folder cannot be created.
        """
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as exc:
            raise AlreadyRunning(
                f"another `maskmill web` serves {self.folder}: stop it, or choose another --home"
            ) from exc
        with lock:
            for prefix in (_UPLOADING, _DELETING):
                for left in self.folder.glob(f"{prefix}*"):
                    shutil.rmtree(left, ignore_errors=True)
            yield

    @contextmanager
    def staging(self, job_id: str) -> Iterator[Path]:
        """Give the folder of a job that is being uploaded; it is deleted unless `add` made it a job."""
        folder = self.folder / f"{_UPLOADING}{job_id}-{secrets.token_hex(4)}"
        with storage_errors(folder):
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, staged: Path, job: Job) -> None:
        """Turn an uploaded folder into a job, in one step that a crash cannot divide."""
        with storage_errors(staged):
            (staged / "result").mkdir()
            _write(staged, job)
            staged.rename(self.folder / job.id)

    def folder_of(self, job_id: str) -> Path:
        """Return the folder of a job, which may not exist.

        Raises:
            JobNotFound: no job can have this id.
        """
        if not _ID.fullmatch(job_id):
            raise JobNotFound("there is no such job: go back to the list of videos")
        return self.folder / job_id

    def read(self, job_id: str) -> Job:
        """Read a job.

        Raises:
            JobNotFound: it does not exist, or not any more.
        """
        try:
            return read_job(self.folder_of(job_id))
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise JobNotFound(
                "this job does not exist any more: it was deleted; go back to the list of videos"
            ) from exc

    def list(self) -> list[Job]:
        """Return all readable jobs, oldest first."""
        return sorted(self._jobs(), key=lambda job: (job.created_at, job.id))

    def _jobs(self) -> Iterator[Job]:
        for entry in os.scandir(self.folder):
            if not _ID.fullmatch(entry.name):
                continue
            try:
                yield read_job(Path(entry.path))
            except (OSError, ValidationError):  # deleted meanwhile, or changed by hand
                continue

    def save(self, job: Job) -> Job:
        """Store a job that exists."""
        folder = self.folder_of(job.id)
        with storage_errors(folder):
            _write(folder, job)
        return job

    def delete(self, job_id: str) -> None:
        """Delete a job and its files. Another call for the same job does nothing."""
        hidden = self.folder / f"{_DELETING}{job_id}-{secrets.token_hex(4)}"
        try:
            self.folder_of(job_id).rename(hidden)
        except FileNotFoundError:
            return
        shutil.rmtree(hidden, ignore_errors=True)


def new_job_id(key: str | None = None) -> str:
    """Return a random id, or the id that belongs to a client's key: the same upload sent again is the same job."""
    if not key:
        return secrets.token_hex(8)
    import hashlib

    return hashlib.sha256(key.encode()).hexdigest()[:16]


def read_job(folder: Path) -> Job:
    return Job.model_validate_json((folder / _JOB_FILE).read_bytes())


def _write(folder: Path, job: Job) -> None:
    write_atomically(folder / _JOB_FILE, job.model_dump_json(indent=1).encode())


def is_result_file(path: Path) -> bool:
    """Return whether a file in a video's folder belongs to its result: not progress, not an unfinished file."""
    return path.name not in ("progress.json", "latest.jpg") and not path.name.startswith(WRITING_PREFIX)
