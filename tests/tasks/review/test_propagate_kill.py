"""kill -9 while reviewed masks are carried, and again: the same rows as undisturbed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from db.models.review import ConsensusRow, PropagationRow, ReviewRow
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of
from tests.conftest import ROOT
from tests.fakes.walking_person import sampled_mask
from tests.flows.dump import dump_rows
from tests.planted_reviews import box_mask
from tests.tasks.review.test_propagate import Walk, sent_walk

WORK = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from db.review.annotations import all_projects
from labeling.storage.home import Home
from tasks.execution.context import open_context
from tasks.review.propagate import propagate_reviews

def carry(name, left):
    def count(*_):
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    context = open_context(Home(Path(sys.argv[1])))
    with context.database.session() as session:
        projects = all_projects(session)
    event.listen(Engine, name, count)
    propagate_reviews(context, projects)

for number in map(int, sys.argv[3:]):
    if not (child := os.fork()):
        carry(sys.argv[2], number)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Carries masks once per number, in a process of its own that kills itself before that event (SQLAlchemy's name)."""
NEVER = 10**6
COMMIT, STATEMENT = "commit", "before_cursor_execute"


def carry(walk: Walk, *kills: int, event: str = COMMIT) -> list[int]:
    """Return the exit statuses: -9 of those that were killed."""
    command = [sys.executable, "-c", WORK, str(walk.home.root), event, *map(str, kills)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    """Two gaps, with one and with two open frames."""
    monkeypatch.delenv("MASKMILL_DATABASE_URL", raising=False)
    walk = sent_walk(Home(tmp_path / "home"))
    walk.review(0, [sampled_mask(0)])
    walk.review(2, [sampled_mask(2)])
    yield walk
    close_databases()


def copy_of(walk: Walk, name: str) -> Walk:
    close_databases()
    other = walk.home.root.with_name(name)
    shutil.copytree(walk.home.root, other)
    return Walk(Home(other), walk.run, walk.project)


def change_first(walk: Walk) -> None:
    """Correct the first frame once more: what was carried from it is outdated."""
    walk.review(0, [box_mask(20, 25, 30, 40)], number=9)
    close_databases()


def confirmed_by_outdated(walk: Walk) -> list[int]:
    """Return confirmed frames whose carried masks do not come from annotations that count."""
    with database_of(walk.home).session() as session:
        valid = {None, *session.scalars(select(ConsensusRow.annotation_id))}
        rows = session.scalars(select(PropagationRow).where(PropagationRow.state == "current"))
        current = {row.frame_id for row in rows if {row.before_id, row.after_id} <= valid}
        confirmed = session.scalars(select(ReviewRow.frame_id).where(ReviewRow.state == "confirmed")).all()
    close_databases()
    return sorted(set(confirmed) - current)


def check_kills(walk: Walk, kills: Sequence[int]) -> None:
    """Compare a home in which the work was killed before each of these commits with an undisturbed one."""
    whole = copy_of(walk, "whole")
    assert carry(walk, *kills) == [-signal.SIGKILL] * len(kills)
    assert confirmed_by_outdated(walk) == []
    for one in (walk, whole):
        one.propagate()
    close_databases()
    assert dump_rows(walk.home.root) == dump_rows(whole.home.root)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_work_that_is_killed_between_its_transactions_continues(walk: Walk) -> None:
    """The first commit withdraws, then each gap has one that is not stored yet, and the last one confirms."""
    check_kills(walk, (2, 3, 3, 1))


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_changed_annotation_withdraws_at_once_what_it_confirmed(walk: Walk) -> None:
    walk.propagate()
    change_first(walk)
    check_kills(walk, (1, 2, 3))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_changed", [False, True])
def test_every_statement_is_a_moment_to_be_killed_at(walk: Walk, *, is_changed: bool) -> None:
    if is_changed:
        assert carry(walk, NEVER) == [0]
        change_first(walk)
    untouched, whole = copy_of(walk, "untouched"), copy_of(walk, "whole")
    assert carry(whole, NEVER) == [0]
    expected, kill, statuses = dump_rows(whole.home.root), 0, [-signal.SIGKILL, 0]
    while statuses != [0, 0]:
        kill += 1
        again = copy_of(untouched, f"killed-{kill}")
        statuses = carry(again, kill, NEVER, event=STATEMENT)
        assert statuses[1] == 0
        assert dump_rows(again.home.root) == expected, f"killed before statement {kill}"
        shutil.rmtree(again.home.root)
    assert kill > 20


@pytest.mark.long
@pytest.mark.timeout(900)
def test_random_moments_are_moments_to_be_killed_at(walk: Walk) -> None:
    """Other than statements, they are in decoding, flow and refinement too."""
    untouched, whole = copy_of(walk, "untouched"), copy_of(walk, "whole")
    command = [sys.executable, "-c", WORK]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    begin = time.monotonic()
    assert carry(whole, NEVER) == [0]
    whole_s, moments = time.monotonic() - begin, random.Random(3)  # noqa: S311 - moments, not secrets
    for number in range(6):
        again = copy_of(untouched, f"killed-{number}")
        for _ in range(3):
            process = subprocess.Popen(
                [*command, str(again.home.root), COMMIT, str(NEVER)], env=environment, start_new_session=True
            )
            time.sleep(moments.uniform(0.4, 1.0) * whole_s)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert carry(again, NEVER) == [0]
        assert dump_rows(again.home.root) == dump_rows(whole.home.root)
