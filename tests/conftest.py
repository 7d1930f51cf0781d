"""Fixtures that several folders of tests share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres_server import database_url, module_database_url, postgres  # noqa: F401 - fixtures
from tests.store_server import bucket, s3_server  # noqa: F401 - fixtures
from tests.studio_server import studio  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """A shell that starts tests in the background has them ignore Ctrl-C, and so the commands that they end by it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the real videos, ground truth and weights."""
    folder = Path(os.environ.get("MASKMILL_SHARED", ROOT.parent / "shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no real videos and weights at {folder}; set MASKMILL_SHARED")
    return folder


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    """A temporary Prefect server with an empty database, once for all tests."""
    from prefect.logging.configuration import setup_logging
    from prefect.settings import PREFECT_LOGGING_LEVEL, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    # a command that a test calls in this process would have Prefect log nothing
    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_LOGGING_LEVEL: "INFO"}),
    ):
        setup_logging()
        yield
