"""The REST interface of jobs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from configs.errors import JobNotFound
from flows.web.archive_stream import stream_zip
from flows.web.comparison import comparison_folder
from flows.web.job_queue import JobQueue
from flows.web.jobs import Job, JobFile, JobStore, is_result_file, new_job_id, now
from flows.web.names import safe_stem
from flows.web.progress import read_progress
from flows.web.uploads import UploadLimits, receive_upload
from flows.web.views import ErrorAnswer, JobList, JobView, view_job, view_jobs

JobId = Annotated[str, PathParameter(pattern="^[0-9a-f]{16}$", description="Id of a job.")]
VideoNumber = Annotated[int, PathParameter(ge=0, description="Position of the video in the job.")]
IdempotencyKey = Annotated[
    str | None, Header(max_length=200, description="The same key sent again gives the same job.")
]
_UNCHANGING = {"cache-control": "private, max-age=31536000, immutable"}
_IMAGES = {"latest.jpg": "image/jpeg", "preview.webp": "image/webp"}
_UPLOAD_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Videos, or ZIP or TAR archives of videos.",
                        },
                        "background": {"type": "string", "description": "`#rrggbb` or `blur`."},
                        "background_file": {
                            "type": "string",
                            "format": "binary",
                            "description": "A picture or video as the background.",
                        },
                        "format": {"type": "string", "enum": ["png", "webm", "mov"], "default": "png"},
                    },
                }
            }
        },
    }
}
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer}}


@dataclass(frozen=True, slots=True)
class JobService:
    """What the routes work on."""

    store: JobStore
    queue: JobQueue
    limits: UploadLimits


def job_routes(service: JobService) -> APIRouter:
    """Return the routes below /api/jobs."""
    routes = APIRouter(prefix="/api/jobs", tags=["jobs"])
    store, queue = service.store, service.queue

    @routes.post("", status_code=201, openapi_extra=_UPLOAD_FORM, responses={400: {"model": ErrorAnswer}})
    async def create_job(request: Request, idempotency_key: IdempotencyKey = None) -> JobView:
        """Upload videos. They are processed when the jobs before them are finished."""
        job = await _receive_job(service, request, new_job_id(idempotency_key))
        queue.wake()
        return await run_in_threadpool(_view, service, job)

    @routes.get("")
    def list_jobs() -> JobList:
        """List all jobs, newest first."""
        return view_jobs(store.list(), store.folder, queue)

    @routes.get("/{job_id}", responses=_MISSING)
    def show_job(job_id: JobId) -> JobView:
        """Show a job with the progress of its videos."""
        return _view(service, store.read(job_id))

    @routes.get("/{job_id}/result.zip", response_class=StreamingResponse, responses=_MISSING)
    def download_job(job_id: JobId) -> Response:
        """Download all results as a zip archive with one folder per video."""
        job = store.read(job_id)
        if not job.is_finished:
            raise JobNotFound("this job is not finished yet: download its results when it is")
        return _zip_answer(f"mattes-{job.created_at:%Y-%m-%d-%H%M}", store, job, job.files)

    @routes.delete("/{job_id}", status_code=204, responses=_MISSING)
    def delete_job(job_id: JobId) -> None:
        """Stop a job if it is running, and delete its videos and results."""
        store.read(job_id)
        queue.delete(job_id)

    @routes.get("/{job_id}/videos/{number}/result.zip", response_class=StreamingResponse, responses=_MISSING)
    def download_video(job_id: JobId, number: VideoNumber) -> Response:
        """Download the result of one video as a zip archive."""
        job, file = _find_video(store, job_id, number)
        return _zip_answer(file.stem, store, job, [file])

    @routes.get("/{job_id}/videos/{number}/{name}", response_class=FileResponse, responses=_MISSING)
    def show_file(job_id: JobId, number: VideoNumber, name: str) -> Response:
        """Show the latest image (`latest.jpg`, `preview.webp`) or the finished video (`video.mp4`)."""
        _, file = _find_video(store, job_id, number)
        folder = store.folder_of(job_id) / "result" / file.stem
        if name == "video.mp4":
            return _file_answer(folder / "composite.mp4", {"cache-control": "private, no-cache"})
        return _image_answer(folder, name)

    @routes.get(
        "/{job_id}/videos/{number}/comparison/{side}-{moment}.jpg",
        response_class=FileResponse,
        responses=_MISSING,
    )
    def show_moment(job_id: JobId, number: VideoNumber, side: str, moment: int) -> Response:
        """Show one moment of a finished video before or after."""
        _, file = _find_video(store, job_id, number)
        if side not in ("before", "after"):
            raise JobNotFound("there is no such image: use before or after")
        folder = comparison_folder(store.folder_of(job_id), file)
        return _file_answer(folder / f"{side}-{moment:02}.jpg", _UNCHANGING)

    return routes


async def _receive_job(service: JobService, request: Request, job_id: str) -> Job:
    store = service.store
    if store.folder_of(job_id).exists():  # the client did not get our first answer
        return store.read(job_id)
    with store.staging(job_id) as folder:
        upload = await receive_upload(
            request.stream(), request.headers.get("content-type", ""), folder, service.limits
        )
        is_usable = any(file.error is None for file in upload.files)
        job = Job(
            id=job_id,
            created_at=now(),
            state="queued" if is_usable else "failed",
            background=upload.background,
            format=upload.format,
            files=tuple(upload.files),
        )
        await run_in_threadpool(store.add, folder, job)
    return job


def _view(service: JobService, job: Job) -> JobView:
    earlier = (other for other in service.store.list() if _precedes(other, job))
    ahead = sum(not other.is_finished for other in earlier)
    return view_job(job, service.store.folder_of(job.id), service.queue, jobs_ahead=ahead)


def _precedes(other: Job, job: Job) -> bool:
    return (other.created_at, other.id) < (job.created_at, job.id)


def _find_video(store: JobStore, job_id: str, number: int) -> tuple[Job, JobFile]:
    job = store.read(job_id)
    if number >= len(job.files) or not job.files[number].stem:
        raise JobNotFound("this job has no such video: reload the page")
    return job, job.files[number]


def _file_answer(path: Path, headers: dict[str, str]) -> FileResponse:
    if not path.is_file():
        raise JobNotFound("this file does not exist yet: reload the page later")
    return FileResponse(path, headers=headers)


def _image_answer(folder: Path, name: str) -> Response:
    """Answer an image that is replaced while the job runs: read at once, so that its length is right."""
    if name not in _IMAGES:
        raise JobNotFound("there is no such file: reload the page")
    try:
        content = (folder / name).read_bytes()
    except FileNotFoundError as exc:
        raise JobNotFound("there is no image yet: reload the page later") from exc
    return Response(content, media_type=_IMAGES[name], headers={"cache-control": "private, no-cache"})


def _zip_answer(
    title: str, store: JobStore, job: Job, files: list[JobFile] | tuple[JobFile, ...]
) -> Response:
    folder = store.folder_of(job.id)
    chosen = {file.number for file in files}
    videos = [video for video in read_progress(folder, job) if video.file.number in chosen]
    done = [video.file for video in videos if video.state == "done"]
    if not done:
        raise JobNotFound("there is no result yet: download it when a video is finished")
    failed = [f"{video.file.name}: {video.error.message}" for video in videos if video.error]
    notes = {"not processed.txt": "\n".join(failed) + "\n"} if failed else {}
    name = safe_stem(f"{title}.zip").encode("ascii", "ignore").decode() or "result"
    headers = {"content-disposition": f'attachment; filename="{name}.zip"', "cache-control": "no-store"}
    content = stream_zip(_result_files(folder, done), notes)
    return StreamingResponse(content, media_type="application/zip", headers=headers)


def _result_files(folder: Path, files: list[JobFile]) -> Iterator[tuple[str, Path]]:
    for file in files:
        result = folder / "result" / file.stem
        for path in sorted(result.rglob("*")):
            if path.is_file() and is_result_file(path):
                yield f"{file.stem}/{path.relative_to(result)}", path
