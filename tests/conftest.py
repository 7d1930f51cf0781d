"""Fixtures that several folders of tests share, and what pytest does before and after all tests."""

import os
import signal
import sys
from pathlib import Path
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
from tests.prefect_server import prefect_server  # noqa: F401 - a fixture
from tests.requirements import (  # noqa: F401 - hooks
    pytest_runtest_setup,
    pytest_sessionstart,
    pytest_terminal_summary,
    skip_or_fail,
)
from tests.selection import is_left_out, mark_by_fixtures
from tests.sharing_out import Shares, rank
from tests.store_server import bucket, s3_server  # noqa: F401 - fixtures
from tests.studio_server import studio  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parent.parent
INSTALLING_S = 900
"""What downloading Label Studio and making its database may take."""


def pytest_configure() -> None:
    """Change three settings of the environment for the tests and the commands that they start.

    A shell makes tests that it starts in the background ignore Ctrl-C. PYTHONDONTWRITEBYTECODE makes each of some
    hundred Python processes compile all libraries again, which takes longer than what most of them do. Processes
    that share the cores lose most of their time if each has a thread per core, since threads wait for each other
    in busy loops.
    """
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import what has no test, or what `-m` leaves out as a whole: Prefect and the networks' libraries take
    seconds."""
    if collection_path.suffix != ".py":
        return None
    source = collection_path.read_text("utf-8")
    if collection_path.name.startswith("test_"):
        return is_left_out(source, config.option.markexpr) or None
    return ">>>" not in source or None  # a doctest


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by these marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        mark_by_fixtures(item)
    if find_environment() is None:
        for item in items:
            if item.get_closest_marker("labelstudio"):
                _allow_for_installation(item, config)
    if hasattr(config, "workerinput"):  # one of several processes
        items.sort(key=lambda item: rank(item.nodeid))


def _allow_for_installation(item: pytest.Item, config: pytest.Config) -> None:
    """Lengthen the limit of a test with Label Studio: the first of them installs it."""
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
        skip_or_fail("shared", f"no real videos and weights at {folder}")
    return folder
