"""A Prefect server as people start one: the temporary one of other tests starts no scheduled run."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from labeling.review.label_studio.ports import free_port

_QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
_WITHOUT_BLOCKS = {"PREFECT_API_BLOCKS_REGISTER_ON_START": "false"}
"""A fifth of a server's start."""


def plant_database(file: Path) -> None:
    """Prefect's empty database, as its own migrations make it: once for all tests, for it takes longer than a server's
    start."""
    made = Path(tempfile.gettempdir()) / f"maskmill-tests-{os.getuid()}" / f"prefect-{version('prefect')}.db"
    made.parent.mkdir(mode=0o700, exist_ok=True)
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make_database(made)
    shutil.copyfile(made, file)


def _make_database(made: Path) -> None:
    with tempfile.TemporaryDirectory(dir=made.parent) as home:
        file = Path(home) / "made.db"
        environment = os.environ | _QUIET | {"PREFECT_HOME": home}
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{file}"
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.replace(made)  # whole, or not there


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    """A temporary Prefect server with an empty database, once for all tests."""
    from prefect.logging.configuration import setup_logging
    from prefect.settings import PREFECT_LOGGING_LEVEL, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with ExitStack() as whole:
        # ends with the start: servers of other tests inherit the environment
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**_QUIET, **_WITHOUT_BLOCKS}.items():
                patch.setenv(name, value)
            patch.setattr("prefect.testing.utilities.mkdtemp", _folder_with_database)
            whole.enter_context(prefect_test_harness(server_startup_timeout=120))
        # a command that a test calls in this process would have Prefect log nothing
        whole.enter_context(temporary_settings({PREFECT_LOGGING_LEVEL: "INFO"}))
        setup_logging()
        yield


def _folder_with_database() -> str:
    """Where the harness puts its database: that it finds one there saves its making."""
    folder = tempfile.mkdtemp()
    plant_database(Path(folder) / "prefect-test.db")
    return folder


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of a Prefect server with its scheduler, for all tests of a file.

    Not for all files: tests look at all runs of their server.
    """
    with run_prefect_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


@contextmanager
def run_prefect_server(folder: Path, *, patience_s: float = 120) -> Iterator[dict[str, str]]:
    """The environment in which everything uses a server of its own, with its database in `folder`."""
    port = free_port()
    environment = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # default 10: tests would wait that long for each run of a worker
        **_QUIET,
    }
    plant_database(folder / "prefect.db")
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
    try:
        _wait_until_healthy(f"{environment['PREFECT_API_URL']}/health", server, time.monotonic() + patience_s)
        yield environment
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_healthy(url: str, server: "subprocess.Popen[bytes]", end: float) -> None:
    with httpx.Client() as client:  # one for all: each would read the certificates that it never needs
        while True:
            try:
                if client.get(url).is_success:
                    return
            except httpx.TransportError:
                if server.poll() is not None or time.monotonic() > end:
                    raise
            time.sleep(0.2)
