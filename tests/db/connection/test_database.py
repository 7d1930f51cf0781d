"""Making, migrating and refusing databases."""

import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from configs.errors import ConfigError
from db.connection.database import Database, open_database
from db.connection.schema import schema_revision, upgrade_schema
from db.models.core import Base, RunRow, utc_now
from labeling.errors import AlreadyRunning, DatabaseUnreachable, DiskFull, SchemaTooNew, SchemaTooOld
from tests.postgres_server import RunningPostgres
from tests.requirements import require_module


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


def test_an_empty_database_gets_exactly_the_tables_of_the_models(url: str) -> None:
    database = open_database(url)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()
    before, head = schema_revision(url)
    assert before == head


def test_sqlite_writes_ahead_and_holds_foreign_keys(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    with database.session() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
    database.close()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(url: str) -> None:
    open_database(url).close()
    set_revision(url, "9999")
    with pytest.raises(SchemaTooNew, match="upgrade maskmill"):
        open_database(url)
    with pytest.raises(SchemaTooNew, match="9999"):
        upgrade_schema(url)
    assert schema_revision(url)[0] == "9999"


def test_a_database_of_an_older_version_is_told_how_to_migrate(url: str) -> None:
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


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("dear diary, this is not a database at all, only words and more words")
    with pytest.raises(DatabaseUnreachable, match=r"notes\.db"):
        open_database(f"sqlite:///{file}")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match="nowhere"):
        open_database(f"sqlite:///{tmp_path / 'nowhere' / 'database.db'}")


def test_a_server_that_does_not_answer_is_told_with_what_to_do() -> None:
    require_module("postgresql", "psycopg")
    with pytest.raises(DatabaseUnreachable, match=r"refused.*; start it, or correct .*MASKMILL_DATABASE_URL"):
        open_database("postgresql+psycopg://me@127.0.0.1:1/x")


@pytest.mark.parametrize(
    "url", ["mysql://me:hunter2@db/x", "postgresql://me:hunter2@db/x", "postgres://db/x"]
)
def test_another_kind_of_database_is_not_to_be_mended_by_installing_more(url: str) -> None:
    with pytest.raises(ConfigError, match=r"wants sqlite:///FILE or postgresql\+psycopg://") as caught:
        open_database(url)
    assert "hunter2" not in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_a_password_in_a_url_is_never_shown() -> None:
    with pytest.raises((ConfigError, DatabaseUnreachable)) as caught:
        open_database("postgresql+psycopg://me:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)


def test_a_full_disk_under_the_database_is_said_so(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'small.db'}")

    def fill_up() -> None:
        with database.transaction() as session:
            session.execute(text("PRAGMA max_page_count = 1"))  # SQLite's own way to run out of room
            session.execute(text("CREATE TABLE big AS SELECT randomblob(1000000) AS content"))

    with pytest.raises(DiskFull, match="run the same command again"):
        fill_up()
    database.close()


def test_a_full_disk_under_postgresql_is_said_so(postgres_url: str) -> None:
    database = open_database(postgres_url)
    full = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
    with pytest.raises(DiskFull, match="run the same command again"), database.transaction() as session:
        session.execute(text(full))
    database.close()


def test_a_reader_is_told_that_the_database_cannot_be_reached(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    database = open_database(f"sqlite:///{folder / 'database.db'}")
    database.close()
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(DatabaseUnreachable, match=r"ledger\.db.*run it again"), database.session() as session:
        session.scalar(text("SELECT 1"))


def test_two_that_create_the_same_database_at_once_both_get_it(url: str) -> None:
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


def test_only_one_of_two_is_alone(url: str) -> None:
    database, other = open_database(url), open_database(url)
    with database.alone("review push"):
        with pytest.raises(AlreadyRunning, match="another review push"), other.alone("review push"):
            pass
        with other.alone("review pull"):
            pass
    with other.alone("review push"):
        pass
    database.close()
    other.close()


def test_nobody_is_alone_on_a_server_that_does_not_answer() -> None:
    require_module("postgresql", "psycopg")
    database = Database("postgresql+psycopg://me@127.0.0.1:1/x")
    with pytest.raises(DatabaseUnreachable, match="run it again"), database.alone("review push"):
        pass
    database.close()


def test_who_fails_while_alone_lets_the_next_one_in(url: str) -> None:
    database, other = open_database(url), open_database(url)
    with pytest.raises(ZeroDivisionError), database.alone("review push"):
        raise ZeroDivisionError
    with other.alone("review push"):
        pass
    database.close()
    other.close()


STAY_ALONE = """
import sys, time
from db.engine import open_ledger
with open_ledger(sys.argv[1]).alone("review push"):
    print("alone", flush=True)
    time.sleep(600)
"""


def test_who_is_killed_while_alone_lets_the_next_one_in(url: str) -> None:
    open_database(url).close()
    with Popen([sys.executable, "-c", STAY_ALONE, url], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "alone\n"
        database = open_database(url)
        try:
            with pytest.raises(AlreadyRunning), database.alone("review push"):
                pass
        finally:
            process.kill()
    for attempt in Retrying(
        retry=retry_if_exception_type(AlreadyRunning), wait=wait_fixed(0.1), stop=stop_after_delay(30)
    ):
        with attempt, database.alone("review push"):  # PostgreSQL hears of it a moment later
            pass
    database.close()


def test_json_that_the_standard_library_alone_wrote_is_read(sqlite_url: str) -> None:
    """PostgreSQL takes no NaN."""
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
