"""A running application with a fake of the flow, and videos to upload."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from flows.web.app import WebSettings, create_app
from flows.web.job_options import JobOptions
from flows.web.security import AccessRules, access_rules
from flows.web.uploads import UploadLimits
from tests.fakes.videos import write_numbered_video

LIMITS = UploadLimits(file_bytes=1_000_000, job_bytes=3_000_000, files=5, free_bytes=0)
FRAMES = 12


IDLE = (sys.executable, "-S", "-c", "import sys; sys.stdin.read()")
"""A process of a job that does nothing until its server stops."""


def fake_command(seconds_per_frame: float = 0.0) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.fakes.matte_job", str(seconds_per_frame))


@contextmanager
def client_of(
    home: Path,
    *,
    limits: UploadLimits = LIMITS,
    access: AccessRules | None = None,
    command: tuple[str, ...] = (),
) -> Iterator[httpx.Client]:
    """Run the application on a home."""
    settings = WebSettings(
        JobOptions(home=home),
        access or access_rules("127.0.0.1", None, []),
        limits=limits,
        command=command or fake_command(),
    )
    with serving(settings) as address, httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        yield client


@contextmanager
def serving(settings: WebSettings) -> Iterator[str]:
    """Run the application in a thread; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), log_level="critical", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    with client_of(tmp_path / "home") as client:
        yield client


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a server that receives jobs and does not work on them."""
    with client_of(tmp_path / "home", command=IDLE) as client:
        yield client


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small video of FRAMES frames."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_numbered_video(path, fps=Fraction(10), frames=FRAMES, size_hw=(96, 144))
    return path.read_bytes()


def upload(client: httpx.Client, *files: tuple[str, bytes], **values: str) -> Any:
    """Send files as one job and return the answer."""
    parts = [("files", (name, content)) for name, content in files]
    return client.post("/api/jobs", files=parts, data=values)


def problems(job: dict[str, Any]) -> dict[str, str]:
    """Return the codes of the errors of a job's videos by name."""
    return {video["name"]: video["error"]["code"] for video in job["videos"] if video["error"]}


def wait_for(
    client: httpx.Client, job_id: str, is_reached: Callable[[dict[str, Any]], bool], *, limit_s: float = 90
) -> dict[str, Any]:
    """Ask for a job until the condition holds."""
    latest = time.monotonic() + limit_s
    while time.monotonic() < latest:
        job: dict[str, Any] = client.get(f"/api/jobs/{job_id}").json()
        if is_reached(job):
            return job
        time.sleep(0.1)
    raise AssertionError(f"not reached: {job}")


def is_finished(job: dict[str, Any]) -> bool:
    return job["state"] in ("done", "failed")
