"""Progress of a job's videos, read from the files that the flow writes into each video's folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.web.jobs import Job, JobFile, Problem
from flows.web.wording import problem_of

VideoState = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class VideoProgress:
    """One video of a job."""

    file: JobFile
    state: VideoState
    stage: str = ""
    """`plate`, `matte` or `encode` while it is running."""
    frames_done: int = 0
    frames_total: int = 0
    error: Problem | None = None


def read_progress(folder: Path, job: Job) -> list[VideoProgress]:
    """Return the progress of all files of a job, refused ones included."""
    return [_progress_of(folder, job, file) for file in job.files]


def _progress_of(folder: Path, job: Job, file: JobFile) -> VideoProgress:
    if file.error:
        return VideoProgress(file, "failed", error=file.error)
    result = folder / "result" / file.stem
    written = _read_json(result / "progress.json")
    done, total = _number(written, "frames_done"), _number(written, "frames_total")
    if (result / "matte.json").is_file():
        return VideoProgress(file, "done", "done", total, total)
    stage = str(written.get("stage", ""))
    if stage == "failed":
        return VideoProgress(file, "failed", error=_error_of(written, folder))
    if job.state == "failed":
        stopped = job.error or Problem(code="stopped", message="The job stopped before this video.")
        return VideoProgress(file, "failed", error=stopped)
    if not stage or job.state != "running":
        return VideoProgress(file, "waiting", "", done, total)
    return VideoProgress(file, "running", stage, done, total)


def _error_of(written: dict[str, Any], folder: Path) -> Problem:
    error = written.get("error")
    stated: dict[str, Any] = error if isinstance(error, dict) else {}
    return problem_of(str(stated.get("code", "error")), str(stated.get("message", "")), folder)


def _number(written: dict[str, Any], key: str) -> int:
    value = written.get(key)
    return value if isinstance(value, int) else 0


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; empty if the file is missing or is being written."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
