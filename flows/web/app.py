"""The application: wires the store of jobs, the queue, the routes and the access rules together."""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from configs.errors import (
    ConfigError,
    DiskFull,
    JobNotFound,
    MaskmillError,
    NoRunYet,
    StorageError,
    UploadRefused,
)
from flows.web.api import JobService, job_routes
from flows.web.job_options import JobOptions
from flows.web.job_queue import JobQueue
from flows.web.jobs import JobStore
from flows.web.metrics import metrics_routes
from flows.web.pages import page_routes, render
from flows.web.runs import run_routes
from flows.web.security import AccessRules, Guard
from flows.web.uploads import UploadLimits

STATIC = Path(__file__).parent / "static"
_SERVER_ERROR = 500
_log = logging.getLogger(__name__)
_STATUS: tuple[tuple[type[MaskmillError], int], ...] = (
    (UploadRefused, 400),
    (JobNotFound, 404),
    (NoRunYet, 404),
    (ConfigError, 404),
    (DiskFull, 507),
    (StorageError, 500),
)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How the page is served."""

    options: JobOptions
    access: AccessRules
    limits: UploadLimits = field(default_factory=UploadLimits)
    command: tuple[str, ...] = ()
    """Starts the process of a job; empty: `flows.web.run_job`."""

    @property
    def home(self) -> Path:
        return self.options.home

    def job_command(self) -> tuple[str, ...]:
        own = (sys.executable, "-m", "flows.web.run_job", self.options.model_dump_json())
        return self.command or own


def create_app(settings: WebSettings) -> FastAPI:
    """Return the application; its queue runs while the server does."""
    store = JobStore(settings.home / "jobs")
    queue = JobQueue(store, settings.job_command())

    @asynccontextmanager
    async def serving(_: FastAPI) -> AsyncIterator[None]:
        with store.opened():
            await run_in_threadpool(queue.start)
            try:
                yield
            finally:
                await run_in_threadpool(queue.stop)

    app = FastAPI(
        title="maskmill",
        description="Upload videos, download mattes.",
        version=metadata.version("maskmill"),
        lifespan=serving,
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.add_middleware(Guard, rules=settings.access)
    app.add_exception_handler(MaskmillError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.include_router(job_routes(JobService(store, queue, settings.limits)))
    app.include_router(run_routes(settings.home))
    app.include_router(page_routes(settings))
    app.include_router(metrics_routes(settings.home))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


def _answer_error(request: Request, error: Exception) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    code = error.code if isinstance(error, MaskmillError) else "error"
    if status >= _SERVER_ERROR:
        _log.error("%s %s: %s", request.method, request.url.path, error)
    return _answer(request, status, code, _sentence(str(error)))


def _answer_invalid(request: Request, error: Exception) -> Response:
    message = "There is nothing at this address. Go back to the start page."
    return _answer(request, 404, "invalid_request", message)


def _answer(request: Request, status: int, code: str, message: str) -> Response:
    """Answer a program with JSON, and a person with a page."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)
    return render("error.html.j2", status=status, message=message)


def _sentence(message: str) -> str:
    capital = message[:1].upper() + message[1:]
    return capital if capital.endswith((".", "!", "?")) else f"{capital}."
