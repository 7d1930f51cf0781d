"""Fixtures that several folders of tests share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from labeling.review.label_studio.install import find_environment
from tests.postgres_server import (  # noqa: F401 - fixtures
    bare_database_url,
    database_url,
    module_database_url,
    postgres,
    postgres_with_tables,
    sqlite_with_tables,
)
from tests.prefect_server import plant_database
from tests.sharing_out import Shares, rank
from tests.store_server import bucket, s3_server  # noqa: F401 - fixtures
from tests.studio_server import studio  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parent.parent
INSTALLING_S = 900
"""What downloading Label Studio and making its database may take."""


def pytest_configure() -> None:
    """A shell that starts tests in the background has them ignore Ctrl-C, and so the commands that they end by it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if find_environment() is None:
        for item in items:
            if item.get_closest_marker("labelstudio"):
                _allow_for_installation(item, config)
    if hasattr(config, "workerinput"):  # one of several processes
        items.sort(key=lambda item: rank(item.nodeid))


def _allow_for_installation(item: pytest.Item, config: pytest.Config) -> None:
    """Whichever test wants a Label Studio first installs it, in its own time."""
    own = item.get_closest_marker("timeout")
    limit_s = own.args[0] if own else float(config.getini("timeout"))
    item.add_marker(pytest.mark.timeout(limit_s + INSTALLING_S), append=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For `--dist loadfile`; pytest-xdist itself would begin with the files of the most tests, not the longest."""
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Shares(config, log)


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

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefect.testing.utilities.mkdtemp", _folder_with_database)
        # a command that a test calls in this process would have Prefect log nothing
        with (
            prefect_test_harness(server_startup_timeout=120),
            temporary_settings({PREFECT_LOGGING_LEVEL: "INFO"}),
        ):
            setup_logging()
            yield


def _folder_with_database() -> str:
    """Where the harness puts its database: that it finds one there saves its making."""
    folder = mkdtemp()
    plant_database(Path(folder) / "prefect-test.db")
    return folder
