"""`maskmill student compare`, killed: it writes no more than the file that was asked for, and that whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from db.models.core import Base
from labeling.storage.home import Home
from tasks.execution.context import database_of, open_context
from tests.conftest import ROOT
from tests.tasks.students.planting import freeze
from tests.tasks.students.students import register_red

KILLED = """
import os, signal, sys
from pathlib import Path
from flows.cli.main import app
from tasks.students import compare

where, *words = sys.argv[1:]
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
if where == "second frame":
    find, seen = compare.ScoreTable.add, []
    compare.ScoreTable.add = lambda *given: die() if seen else (seen.append(1), find(*given))
if where == "figures":
    compare.compare_scores = die
if where == "rename":
    Path.replace = die
app(words)
"""


def compare(home: Home, out: Path, students: list[str], *, where: str) -> int:
    words = ["student", "compare", *students, "--on", "frozen", "-o", str(out), "--home", str(home.root)]
    command = [sys.executable, "-c", KILLED, where, *words]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode


def stored(home: Home) -> dict[str, list[object]]:
    """Return all rows of all tables, and all files of the home but the database's."""
    with database_of(home).session() as session:
        found: dict[str, list[object]] = {
            name: [*sorted(map(repr, session.execute(select(table)).all()))]
            for name, table in Base.metadata.tables.items()
        }
    files = sorted(path for path in home.root.rglob("*") if ".db" not in path.name and path.is_file())
    return found | {"files": [(str(path), path.read_bytes()) for path in files]}


@pytest.mark.long
def test_killed_anywhere_it_changes_nothing_and_the_next_one_gives_the_same(
    home: Home, tmp_path: Path
) -> None:
    freeze(home, "f0", "f1")
    context = open_context(home)
    students = [register_red(context, tmp_path / name, least=least) for name, least in (("a", 2.8), ("b", 1))]
    whole, out = tmp_path / "whole.json", tmp_path / "figures.json"
    assert compare(home, whole, students, where="nowhere") == 0
    before = stored(home)
    out.write_text("an earlier file")
    for where in ("second frame", "figures", "rename"):
        assert compare(home, out, students, where=where) == -signal.SIGKILL
        assert stored(home) == before
        assert out.read_text() == "an earlier file"
    assert compare(home, out, students, where="nowhere") == 0
    assert out.read_bytes() == whole.read_bytes()
    assert stored(home) == before
