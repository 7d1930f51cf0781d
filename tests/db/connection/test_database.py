"""Opening, checking and locking databases."""

import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from sqlalchemy import text
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from configs.errors import (
    AlreadyRunning,
    ConfigError,
    DatabaseUnreachable,
    DiskFull,
    SchemaTooNew,
    SchemaTooOld,
)
from db.connection.database import Database, open_database
from db.connection.schema import schema_revision, upgrade_schema
from db.models.core import RunRow, utc_now
from tests.postgres_server import RunningPostgres


@pytest.fixture
def url(bare_database_url: str) -> str:
    return bare_database_url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'database.db'}"


@pytest.fixture
def postgres_url(postgres: RunningPostgres) -> Iterator[str]:
    with postgres.empty_database() as url:
        yield url


def set_revision(url: str, revision: str) -> None:
    database = Database(url)
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    database.close()


def test_an_empty_database_gets_the_current_schema(url: str) -> None:
    open_database(url).close()
    before, head = schema_revision(url)
    assert before == head


def test_sqlite_has_a_write_ahead_log_and_foreign_keys(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    with database.session() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
    database.close()


def test_a_newer_schema_is_refused_and_unchanged(url: str) -> None:
    open_database(url).close()
    set_revision(url, "9999")
    with pytest.raises(SchemaTooNew, match="upgrade maskmill"):
        open_database(url)
    with pytest.raises(SchemaTooNew, match="9999"):
        upgrade_schema(url)
    assert schema_revision(url)[0] == "9999"


def test_an_older_schema_is_refused_until_it_is_upgraded(url: str) -> None:
    database = Database(url)
    with database.transaction() as session:
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
    database.close()
    with pytest.raises(SchemaTooOld, match="maskmill db upgrade"):
        open_database(url)
    before, after = upgrade_schema(url)
    assert before is None
    open_database(url).close()
    assert schema_revision(url) == (after, after)


def test_the_error_names_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("this is not a database, but it is longer than the header of one")
    with pytest.raises(DatabaseUnreachable, match=r"notes\.db"):
        open_database(f"sqlite:///{file}")


def test_the_error_names_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match="nowhere"):
        open_database(f"sqlite:///{tmp_path / 'nowhere' / 'database.db'}")


def test_the_error_for_an_unreachable_server_names_the_variable_to_check() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(DatabaseUnreachable, match=r"refused.*MASKMILL_DATABASE_URL"):
        open_database("postgresql+psycopg://me@127.0.0.1:1/x")


@pytest.mark.parametrize(
    "url", ["mysql://me:hunter2@db/x", "postgresql://me:hunter2@db/x", "postgres://db/x"]
)
def test_an_unsupported_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"use sqlite:///FILE or postgresql\+psycopg://") as caught:
        open_database(url)
    assert "hunter2" not in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_the_error_hides_the_password_of_a_url() -> None:
    with pytest.raises((ConfigError, DatabaseUnreachable)) as caught:
        open_database("postgresql+psycopg://me:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)


@pytest.mark.slow
def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'small.db'}")

    def fill_disk() -> None:
        with database.transaction() as session:
            session.execute(text("PRAGMA max_page_count = 1"))  # simulates a full disk
            session.execute(text("CREATE TABLE big AS SELECT randomblob(1000000) AS content"))

    with pytest.raises(DiskFull, match="free some space"):
        fill_disk()
    database.close()


def test_a_full_disk_of_postgresql_is_reported(postgres_url: str) -> None:
    database = open_database(postgres_url)
    full = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
    with pytest.raises(DiskFull, match="free some space"), database.transaction() as session:
        session.execute(text(full))
    database.close()


def test_a_reader_gets_an_error_when_the_database_has_gone(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    database = open_database(f"sqlite:///{folder / 'database.db'}")
    database.close()
    folder.rename(tmp_path / "elsewhere")
    with (
        pytest.raises(DatabaseUnreachable, match=r"database\.db.*run it again"),
        database.session() as session,
    ):
        session.scalar(text("SELECT 1"))


def test_concurrent_opens_of_an_empty_database_succeed(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for database in pool.map(open_database, [url] * 4):
            database.close()
    before, head = schema_revision(url)
    assert before == head


def test_a_transaction_that_reads_first_waits_for_another_writer(sqlite_url: str) -> None:
    database = open_database(sqlite_url)

    def count_up(_: int) -> None:
        for _ in range(20):
            with database.transaction() as session:
                now = session.scalar(text("SELECT version_num FROM alembic_version"))
                session.execute(text("UPDATE alembic_version SET version_num = :n"), {"n": str(int(now) + 1)})

    start = int(schema_revision(sqlite_url)[1])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, range(4)))
    database.close()
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (str(start + 80),)
    connection.close()


def test_a_block_excludes_others_of_the_same_name(url: str) -> None:
    database, other = open_database(url), open_database(url)
    with database.exclusive("review push"):
        with pytest.raises(AlreadyRunning, match="another review push"), other.exclusive("review push"):
            pass
        with other.exclusive("review pull"):
            pass
    with other.exclusive("review push"):
        pass
    database.close()
    other.close()


def test_a_lock_on_an_unreachable_server_is_an_error() -> None:
    pytest.importorskip("psycopg")
    database = Database("postgresql+psycopg://me@127.0.0.1:1/x")
    with pytest.raises(DatabaseUnreachable, match="run it again"), database.exclusive("review push"):
        pass
    database.close()


def test_a_lock_is_free_as_soon_as_its_block_ends(url: str) -> None:
    database = open_database(url)
    for _ in range(30):
        with database.exclusive("review push"):
            pass
        assert database.remove_free_lock("review push")
    database.close()


def test_an_error_in_the_block_releases_the_lock(url: str) -> None:
    database, other = open_database(url), open_database(url)
    with pytest.raises(ZeroDivisionError), database.exclusive("review push"):
        raise ZeroDivisionError
    with other.exclusive("review push"):
        pass
    database.close()
    other.close()


HOLD_LOCK = """
import sys, time
from db.connection.database import open_database
with open_database(sys.argv[1]).exclusive("review push"):
    print("alone", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_killed_process_releases_its_lock(url: str) -> None:
    open_database(url).close()
    with Popen([sys.executable, "-c", HOLD_LOCK, url], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "alone\n"
        database = open_database(url)
        try:
            with pytest.raises(AlreadyRunning), database.exclusive("review push"):
                pass
        finally:
            process.kill()
    for attempt in Retrying(
        retry=retry_if_exception_type(AlreadyRunning), wait=wait_fixed(0.1), stop=stop_after_delay(30)
    ):
        with attempt, database.exclusive("review push"):  # PostgreSQL notices it a moment later
            pass
    database.close()


def test_json_with_infinity_is_read(sqlite_url: str) -> None:
    """On SQLite: PostgreSQL refuses such JSON."""
    database = open_database(sqlite_url)
    with database.transaction() as session:
        session.add(
            RunRow(
                id="r",
                name="",
                config={"a": inf, "b": [1, 0.5, "\u00e9"]},
                code_version="0",
                started_at=utc_now(),
                worked_at=utc_now(),
            )
        )
    with database.session() as session:
        assert session.get_one(RunRow, "r").config == {"a": inf, "b": [1, 0.5, "\u00e9"]}
    database.close()
