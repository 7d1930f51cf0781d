"""Jobs as the API answers them."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from flows.web.comparison import INDEX_FILE, comparison_folder
from flows.web.job_queue import JobQueue
from flows.web.jobs import Background, Frozen, Job, JobState, MatteFormat, Problem
from flows.web.progress import VideoProgress, VideoState, read_progress


class VideoView(Frozen):
    """One video of a job."""

    number: int
    name: str
    size_bytes: int
    state: VideoState
    stage: Literal["", "plate", "matte", "encode", "done"]
    """Stage of a running video: the background is estimated, the person is cut out, the file is written."""
    frames_done: int
    frames_total: int
    """0: not known yet."""
    seconds_left: float | None
    """Estimate for the running stage."""
    error: Problem | None
    preview: str | None
    """Address of the latest image."""
    video: str | None
    """Address of the finished video, for playing."""
    result: str | None
    """Address of its files as a zip archive."""
    comparison: str | None
    """Address of the images before and after, without `before-00.jpg` or `after-00.jpg`."""
    moments: int
    """Number of images before and after."""


class JobView(Frozen):
    """A job with its videos."""

    id: str
    created_at: datetime
    state: JobState
    jobs_ahead: int
    """Unfinished jobs that come before this one."""
    background: Background
    format: MatteFormat
    videos: tuple[VideoView, ...]
    error: Problem | None
    result: str | None
    """Address of all results as a zip archive; null until the job is finished."""


class JobList(Frozen):
    """All jobs, newest first."""

    jobs: tuple[JobView, ...]


class ErrorAnswer(Frozen):
    """Why a request was not done."""

    error: Problem


def view_jobs(jobs: list[Job], jobs_folder: Path, queue: JobQueue) -> JobList:
    ahead, views = 0, []
    for job in jobs:
        views.append(view_job(job, jobs_folder / job.id, queue, jobs_ahead=ahead))
        ahead += not job.is_finished
    return JobList(jobs=tuple(reversed(views)))


def view_job(job: Job, folder: Path, queue: JobQueue, *, jobs_ahead: int = 0) -> JobView:
    videos = read_progress(folder, job)
    is_downloadable = job.is_finished and any(video.state == "done" for video in videos)
    return JobView(
        id=job.id,
        created_at=job.created_at,
        state=job.state,
        jobs_ahead=0 if job.is_finished else jobs_ahead,
        background=job.background,
        format=job.format,
        videos=tuple(_view_video(job, folder, video, queue) for video in videos),
        error=job.error,
        result=f"/api/jobs/{job.id}/result.zip" if is_downloadable else None,
    )


def _view_video(job: Job, folder: Path, video: VideoProgress, queue: JobQueue) -> VideoView:
    file, address = video.file, f"/api/jobs/{job.id}/videos/{video.file.number}"
    is_done = video.state == "done"
    is_comparable = is_done and (comparison_folder(folder, file) / INDEX_FILE).is_file()
    return VideoView(
        number=file.number,
        name=file.name,
        size_bytes=file.size_bytes,
        state=video.state,
        stage=video.stage if video.stage in ("plate", "matte", "encode", "done") else "",
        frames_done=video.frames_done,
        frames_total=video.frames_total,
        seconds_left=queue.seconds_left(job.id, video) if video.state == "running" else None,
        error=video.error,
        preview=_preview_of(folder, video, address),
        video=f"{address}/video.mp4" if is_done and _exists(folder, video, "composite.mp4") else None,
        result=f"{address}/result.zip" if is_done else None,
        comparison=f"{address}/comparison" if is_comparable else None,
        moments=len(list(comparison_folder(folder, file).glob("after-*.jpg"))) if is_comparable else 0,
    )


def _preview_of(folder: Path, video: VideoProgress, address: str) -> str | None:
    """Return the address of the latest image; it changes with the image, so that browsers load it again."""
    if not video.file.stem:
        return None
    name = "preview.webp" if video.state == "done" else "latest.jpg"
    try:
        changed = (folder / "result" / video.file.stem / name).stat().st_mtime_ns
    except FileNotFoundError:
        return None
    return f"{address}/{name}?v={changed // 1_000_000}"


def _exists(folder: Path, video: VideoProgress, name: str) -> bool:
    return (folder / "result" / video.file.stem / name).is_file()
