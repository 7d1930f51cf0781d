"""The queue: the oldest job runs in a process of its own, so that a crash of a decoder does not stop the page."""

import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from configs.errors import MaskmillError
from flows.web.jobs import Job, JobFile, JobStore, Problem, now
from flows.web.progress import VideoProgress, read_progress
from flows.web.wording import problem_of
from tasks.execution.process_identity import ProcessIdentity, identify_process

_log = logging.getLogger(__name__)
MAX_CRASHES = 2
"""A video, or a job, during which the process ended this often without an error has failed."""
POLL_S = 0.2
RETRY_S = 5.0
"""Pause after the queue could not read or write the jobs."""
STOP_S = 5.0
"""Time for a process to end on SIGTERM before it is killed."""
LOG_FILE, ERROR_FILE = "log.txt", "error.json"


@dataclass(frozen=True, slots=True)
class Pace:
    """When a stage of a video was first seen, and at which frame."""

    stage: str
    since: float
    frames_done: int


class JobQueue:
    """Runs jobs one after another in a thread. `command` gets the job's folder as its last argument."""

    def __init__(self, store: JobStore, command: Sequence[str]) -> None:
        self._store, self._command = store, tuple(command)
        self._lock = threading.Lock()
        self._wake, self._stopping, self._settled = threading.Event(), threading.Event(), threading.Event()
        self._settled.set()
        self._running: str | None = None
        self._cancelled = False
        self._paces: dict[tuple[str, int], Pace] = {}
        self._thread = threading.Thread(target=self._work, name="web-queue", daemon=True)

    def start(self) -> None:
        """Put the jobs of a killed server back into the queue, then begin."""
        for job in self._store.list():
            if job.state == "running":
                _end_process(ProcessIdentity.parse(job.process))
                self._store.save(job.model_copy(update={"state": "queued", "process": None}))
        self._thread.start()

    def stop(self) -> None:
        """Stop the running job; it is queued and continues at the next start."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Look for jobs now: one was added."""
        self._wake.set()

    def delete(self, job_id: str) -> None:
        """Stop a job if it is running, and delete it with its files."""
        with self._lock:
            is_running = self._running == job_id
            if is_running:
                self._cancelled = True
            else:
                self._store.delete(job_id)
        if is_running:
            self._settled.wait(2 * STOP_S)
            self._store.delete(job_id)

    def seconds_left(self, job_id: str, video: VideoProgress) -> float | None:
        """Estimate the rest of a running stage from its pace so far; None if that is unknown."""
        pace = self._paces.get((job_id, video.file.number))
        if pace is None or pace.stage != video.stage or video.frames_done <= pace.frames_done:
            return None
        seconds_per_frame = (time.monotonic() - pace.since) / (video.frames_done - pace.frames_done)
        return seconds_per_frame * max(0, video.frames_total - video.frames_done)

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                job = self._begin_next()
                if job is not None:
                    self._run(job)
                    continue
            except (OSError, MaskmillError) as error:  # the disk is full, or a job was changed by hand
                _log.error("the queue tries again in %g s: %s", RETRY_S, error)
                self._stopping.wait(RETRY_S)
            self._wake.wait(1.0)

    def _begin_next(self) -> Job | None:
        with self._lock:
            job = next((job for job in self._store.list() if job.state == "queued"), None)
            if job is None:
                return None
            self._running, self._cancelled = job.id, False
            self._settled.clear()
            return job

    def _run(self, job: Job) -> None:
        folder = self._store.folder_of(job.id)
        try:
            code = self._run_process(job, folder) if job.videos() else 0
            if not self._cancelled:
                self._store.save(self._settle(self._store.read(job.id), folder, code))
        finally:
            with self._lock:
                self._running = None
                self._paces.clear()
            self._settled.set()

    def _run_process(self, job: Job, folder: Path) -> int:
        (folder / ERROR_FILE).unlink(missing_ok=True)
        with (folder / LOG_FILE).open("ab") as log:
            # the process ends when its stdin does, which is when this server ends, even by kill -9
            process = subprocess.Popen(  # noqa: S603  # a fixed command and a folder of ours
                [*self._command, str(folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        identity = identify_process(process.pid)
        running = job.model_copy(
            update={
                "state": "running",
                "process": str(identity) if identity else None,
                "started_at": job.started_at or now(),
            }
        )
        try:
            self._store.save(running)
            while process.poll() is None:
                if self._cancelled or self._stopping.is_set():
                    break
                self._note_pace(running, folder)
                time.sleep(POLL_S)
        finally:
            if process.poll() is None:
                _stop_group(process)
            process.communicate()
        return process.returncode

    def _note_pace(self, job: Job, folder: Path) -> None:
        for video in read_progress(folder, job):
            key = (job.id, video.file.number)
            known = self._paces.get(key)
            if video.state == "running" and (known is None or known.stage != video.stage):
                self._paces[key] = Pace(video.stage, time.monotonic(), video.frames_done)

    def _settle(self, job: Job, folder: Path, code: int) -> Job:
        """Return the job after its process ended with this exit code."""
        if self._stopping.is_set():
            return job.model_copy(update={"state": "queued", "process": None})
        videos = [video for video in read_progress(folder, job) if video.file.error is None]
        if code and any(video.state in ("waiting", "running") for video in videos):
            error = _stated_error(folder)
            return _failed(job, error) if error else _after_crash(job, videos)
        has_result = any(video.state == "done" for video in videos)
        state = "done" if has_result else "failed"
        return job.model_copy(update={"state": state, "process": None, "finished_at": now()})


def _failed(job: Job, error: Problem) -> Job:
    return job.model_copy(update={"state": "failed", "error": error, "process": None, "finished_at": now()})


def _after_crash(job: Job, videos: Sequence[VideoProgress]) -> Job:
    """Queue the job again without the video that repeatedly crashed the process; the others continue."""
    suspect = next((video.file for video in videos if video.state == "running"), None)
    if suspect is None:
        if job.crashes + 1 >= MAX_CRASHES:
            message = "The program stopped twice for an unknown reason. Ask the person who runs it to look at its log."
            return _failed(job, Problem(code="crashed", message=message))
        return job.model_copy(update={"state": "queued", "process": None, "crashes": job.crashes + 1})
    files = tuple(_count_crash(file) if file.number == suspect.number else file for file in job.files)
    return job.model_copy(update={"state": "queued", "process": None, "files": files})


def _count_crash(file: JobFile) -> JobFile:
    crashes = file.crashes + 1
    error = problem_of("crashed", "", Path()) if crashes >= MAX_CRASHES else None
    return file.model_copy(update={"crashes": crashes, "error": error})


def _stated_error(folder: Path) -> Problem | None:
    """Return the error with which the process ended on purpose."""
    try:
        stated = json.loads((folder / ERROR_FILE).read_bytes())
        return problem_of(str(stated["code"]), str(stated["message"]), folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stop_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _end_process(process: ProcessIdentity | None) -> None:
    """Wait for the end of a killed server's process, which follows its server; kill it if it does not."""
    if process is None or not process.is_here():
        return
    latest = time.monotonic() + STOP_S
    while not process.is_gone():
        if time.monotonic() > latest:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        time.sleep(POLL_S)
