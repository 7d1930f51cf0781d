"""Which leases expire: by the process where it can be looked up, else by lock and heartbeat."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from db.models.core import LeaseRow
from db.runs.leases import LEASE_S, LOST_MACHINE_S, register_lease
from labeling.storage.home import Home
from tasks.execution import leases as executions
from tasks.execution.context import close_databases, database_of
from tasks.execution.leases import hold_lease, recover_stale_leases
from tasks.execution.process_identity import ProcessIdentity, identify_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
ELSEWHERE = ProcessIdentity("elsewhere", 17, 4)


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    yield Home(tmp_path / "home")
    close_databases()


@pytest.fixture
def crashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Executions whose flow runs were to be set to Crashed."""
    found: list[str] = []
    monkeypatch.setattr(executions, "_show_as_crashed", lambda lease: found.append(lease.id))
    return found


def here() -> ProcessIdentity:
    process = identify_process()
    assert process is not None
    return process


def gone() -> ProcessIdentity:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    process = identify_process(child.pid)
    child.communicate()
    assert process is not None
    return process


def lease(home: Home, process: ProcessIdentity | None, *, age_s: float = 0.0) -> None:
    with database_of(home).transaction() as session:
        known = str(process) if process else None
        register_lease(session, "lease", flow="generate-dataset", host="some host", process=known)
        session.flush()
        earlier = update(LeaseRow).values(heartbeat_at=LeaseRow.heartbeat_at - timedelta(seconds=age_s))
        if age_s:
            row = session.scalars(select(LeaseRow)).one()
            session.execute(earlier.values(heartbeat_at=row.heartbeat_at - timedelta(seconds=age_s)))


@contextmanager
def locked(home: Home) -> Iterator[None]:
    """As long as its process lives."""
    with database_of(home).exclusive("execution lease"):
        yield


def recovered(home: Home) -> list[str]:
    return [one.id for one in recover_stale_leases(home)]


@pytest.mark.slow
def test_a_process_that_is_gone_loses_its_lease_at_once(home: Home, crashed: list[str]) -> None:
    lease(home, gone())
    assert recovered(home) == crashed == ["lease"]
    assert recovered(home) == []


@pytest.mark.slow
@pytest.mark.parametrize("age_s", [0, 60, 1000 * LOST_MACHINE_S])
def test_a_process_that_lives_keeps_its_lease_however_long_it_is_silent(
    age_s: float, home: Home, crashed: list[str]
) -> None:
    """Its lock may be lost with a connection to PostgreSQL, and a paused process sends no heartbeat."""
    lease(home, here(), age_s=age_s)
    assert recovered(home) == crashed == []


@pytest.mark.slow
@pytest.mark.parametrize("process", [None, ELSEWHERE])
def test_the_lock_tells_of_a_process_that_cannot_be_looked_up(
    process: ProcessIdentity | None, home: Home, crashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "database_uptime_s", lambda _session: 10 * LOST_MACHINE_S)
    is_sqlite = database_of(home).engine.dialect.name == "sqlite"
    lease(home, process, age_s=LEASE_S - 20)
    assert recovered(home) == (["lease"] if is_sqlite else [])
    lease(home, process, age_s=LEASE_S + 1)
    assert recovered(home) == ["lease"]
    assert crashed == (["lease", "lease"] if is_sqlite else [])  # PostgreSQL's is lost with the connection


def test_a_process_elsewhere_that_holds_its_lock_loses_its_shards_after_ten_minutes_but_not_its_state(
    home: Home, crashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "database_uptime_s", lambda _session: 10 * LOST_MACHINE_S)
    with locked(home):
        lease(home, ELSEWHERE, age_s=LOST_MACHINE_S - 60)
        assert recovered(home) == []
        lease(home, ELSEWHERE, age_s=LOST_MACHINE_S + 1)
        assert recovered(home) == ["lease"]
    assert crashed == []


def test_a_database_that_was_away_makes_no_lease_old(
    home: Home, crashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if database_of(home).engine.dialect.name == "sqlite":
        pytest.skip("a file always was there")
    monkeypatch.setattr(executions, "database_uptime_s", lambda _session: LEASE_S - 1)
    lease(home, ELSEWHERE, age_s=LOST_MACHINE_S + 1)
    assert recovered(home) == crashed == []


def test_an_execution_stores_its_own_process_and_is_left_alone(home: Home, crashed: list[str]) -> None:
    home.create()
    with hold_lease(home, "generate-dataset"):
        with database_of(home).session() as session:
            (row,) = session.scalars(select(LeaseRow))
        assert row.process == str(here())
        assert recovered(home) == []
    with database_of(home).session() as session:
        assert session.scalars(select(LeaseRow)).all() == []


def test_a_lease_that_is_renewed_between_the_look_and_the_end_stays(
    home: Home, crashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect may start the same flow run again, under the same id."""
    lease(home, gone())
    expire: Callable[..., object] = executions._expire

    def later(*arguments: object) -> object:
        lease(home, here())
        return expire(*arguments)

    monkeypatch.setattr(executions, "_expire", later)
    assert recovered(home) == crashed == []
    monkeypatch.undo()


def test_processes_of_one_machine_have_one_name() -> None:
    code = "from tasks.execution.process_identity import this_machine; print(this_machine())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == here().machine
    assert replace(here(), pid=1).is_here()
