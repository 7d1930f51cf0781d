"""A home with an empty SQLite database."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.storage.home import Home
from tasks.execution.context import close_databases


@pytest.fixture
def home(tmp_path: Path, sqlite_with_tables: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose database is a copy: migrations take longer than most tests."""
    monkeypatch.delenv("MASKMILL_DATABASE_URL", raising=False)
    home = Home(tmp_path / "home")
    home.create()
    shutil.copyfile(sqlite_with_tables, home.database)
    yield home
    close_databases()
