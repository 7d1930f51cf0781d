"""Flow runs that Prefect shows as running and that have no lease in the database."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Pending, Running, Scheduled

from db.runs.leases import register_lease
from labeling.storage.home import Home
from tasks.execution import zombies
from tasks.execution.context import close_databases, database_of
from tasks.execution.process_identity import ProcessIdentity, identify_process
from tasks.execution.zombies import (
    ORPHAN_S,
    SETTLE_S,
    TAG,
    crash_stuck_flow_runs,
    end_flow_run,
    label_process,
    reword_states,
)

pytestmark = [
    pytest.mark.usefixtures("prefect"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@flow
def some_flow(home: Path) -> None:
    """Nothing."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    place = Home(tmp_path / "home")
    place.create()
    yield place
    close_databases()


@dataclass
class Clock:
    """The clock by which ages are judged."""

    ahead_s: float = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)


@pytest.fixture
def age(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(zombies, "_now", clock.now)
    return clock


def shown(home: Path, state: State[None], *, tag: str = TAG, process: ProcessIdentity | None = None) -> UUID:
    """A flow run as Prefect shows it, though it has no process."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(some_flow, parameters={"home": str(home)}, tags=[tag], state=state)
        if process:
            label_process(client, run.id, process)
        return run.id


def read(run_id: UUID) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def alive() -> ProcessIdentity:
    process = identify_process()
    assert process is not None
    return process


def gone() -> ProcessIdentity:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    process = identify_process(child.pid)
    child.communicate()
    assert process is not None
    return process


def elsewhere() -> ProcessIdentity:
    return replace(gone(), machine="elsewhere")


@pytest.mark.parametrize("state", [Pending(), Running()])
def test_a_run_whose_process_is_gone_is_crashed(state: State[None], home: Home, age: Clock) -> None:
    run = shown(home.root, state, process=gone())
    assert crash_stuck_flow_runs(home) == []  # Prefect may be starting it again
    age.ahead_s = SETTLE_S
    assert crash_stuck_flow_runs(home) == [read(run).name]
    assert read(run).state_type == StateType.CRASHED
    assert crash_stuck_flow_runs(home) == []


@pytest.mark.parametrize("state", [Pending(), Running(), Cancelling()])
@pytest.mark.parametrize("orphans", [False, True])
def test_a_run_whose_process_lives_keeps_its_state_whatever_its_age(
    state: State[None], orphans: bool, home: Home, age: Clock
) -> None:
    run = shown(home.root, state, process=alive())
    for age.ahead_s in (0, 60, ORPHAN_S + 1, 100 * ORPHAN_S):
        assert crash_stuck_flow_runs(home, orphans=orphans) == []
        assert not ended(run)
    assert read(run).state_type == state.type


def ended(run: UUID) -> bool:
    with get_client(sync_client=True) as client:
        return end_flow_run(client, run, "it ended", None)


def test_what_the_caller_started_counts_more_than_a_label_of_an_earlier_process(
    home: Home, age: Clock
) -> None:
    age.ahead_s = SETTLE_S
    run = shown(home.root, Running(), process=gone())
    assert crash_stuck_flow_runs(home, {run: alive()}) == []
    assert crash_stuck_flow_runs(home, {run: gone()}) == [read(run).name]


def test_a_run_that_prefect_started_again_elsewhere_is_not_ended_by_its_first_machine(
    home: Home, age: Clock
) -> None:
    first = gone()
    run = shown(home.root, Running(), process=elsewhere())
    age.ahead_s = 2 * SETTLE_S
    assert crash_stuck_flow_runs(home, {run: first}) == []
    with get_client(sync_client=True) as client:
        assert not end_flow_run(client, run, "it ended", first)
    assert read(run).state_type == StateType.RUNNING


def test_a_start_that_takes_ten_minutes_is_left_alone(home: Home, age: Clock) -> None:
    states: list[State[None]] = [Pending(), Running()]
    runs = [shown(home.root, state, process=process) for state in states for process in (None, elsewhere())]
    age.ahead_s = ORPHAN_S - 60  # making them takes a while
    assert crash_stuck_flow_runs(home, orphans=True) == []
    age.ahead_s = 100 * ORPHAN_S
    assert crash_stuck_flow_runs(home) == []
    assert {read(run).state_type for run in runs} == {StateType.PENDING, StateType.RUNNING}


def test_a_pending_orphan_is_crashed_after_ten_minutes(home: Home, age: Clock) -> None:
    run = shown(home.root, Pending(), process=elsewhere())
    age.ahead_s = ORPHAN_S + 1
    assert crash_stuck_flow_runs(home, orphans=True) == [read(run).name]


def test_a_running_orphan_is_crashed_when_it_was_missing_for_ten_minutes(home: Home, age: Clock) -> None:
    """Its age does not count: a run of hours may just have released its lease."""
    run = shown(home.root, Running(), process=elsewhere())
    age.ahead_s = 100 * ORPHAN_S
    assert crash_stuck_flow_runs(home, orphans=True) == []
    age.ahead_s += ORPHAN_S - 60
    assert crash_stuck_flow_runs(home, orphans=True) == []
    age.ahead_s += 61
    assert crash_stuck_flow_runs(home, orphans=True) == [read(run).name]
    assert read(run).state_type == StateType.CRASHED


def test_a_run_that_was_being_cancelled_is_cancelled(home: Home, age: Clock) -> None:
    run = shown(home.root, Cancelling(), process=gone())
    age.ahead_s = SETTLE_S
    assert len(crash_stuck_flow_runs(home)) == 1
    assert read(run).state_type == StateType.CANCELLED


@pytest.mark.parametrize("state", [Completed(), Scheduled()])
def test_a_run_that_ended_or_waits_to_be_started_again_is_not_ended(state: State[None], home: Home) -> None:
    run = shown(home.root, state, process=gone())
    assert not ended(run)
    assert read(run).state_type == state.type


def test_runs_with_a_lease_or_of_others_are_left_alone(home: Home, tmp_path: Path, age: Clock) -> None:
    age.ahead_s = 2 * ORPHAN_S
    with_lease = shown(home.root, Running(), process=elsewhere())
    with database_of(home).transaction() as session:
        register_lease(session, str(with_lease), flow="generate-dataset", host="here")
    others = [
        shown(home.root, Scheduled(), process=gone()),
        shown(tmp_path / "elsewhere", Running(), process=gone()),
        shown(home.root, Running(), tag="another", process=gone()),
    ]
    assert crash_stuck_flow_runs(home, orphans=True) == []
    assert read(with_lease).state_type == StateType.RUNNING
    assert StateType.CRASHED not in {read(run).state_type for run in others}


def test_no_database_is_made_for_a_look(home: Home, age: Clock) -> None:
    age.ahead_s = SETTLE_S
    shown(home.root, Pending(), process=gone())
    assert len(crash_stuck_flow_runs(home)) == 1
    assert not home.database.exists()


@pytest.mark.parametrize(
    ("state", "kind", "name", "words"),
    [
        (Cancelled(message="Deployment concurrency limit reached."), StateType.COMPLETED, "Skipped", "still going"),
        (Crashed(message="Execution was aborted by Python system exit call."), StateType.CRASHED, "Crashed", "was stopped"),
        (Crashed(message="Execution was aborted by a termination signal."), StateType.CRASHED, "Crashed", "was stopped"),
        (Crashed(message="Flow run process exited with non-zero status code -9."), StateType.CRASHED, "Crashed", "memory"),
        (Cancelled(message="by the user"), StateType.CANCELLED, "Cancelled", "by the user"),
        (Crashed(message="its disk is full"), StateType.CRASHED, "Crashed", "its disk is full"),
    ],
)  # fmt: skip
def test_what_only_prefect_put_into_words_is_told_to_an_operator(
    home: Home, state: State[None], kind: StateType, name: str, words: str
) -> None:
    run_id = shown(home.root, Running())
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, state, force=True)
    reword_states()
    reword_states()
    told = read(run_id).state
    assert told is not None
    assert (told.type, told.name) == (kind, name)
    assert words in str(told.message)


def test_a_killed_worker_is_named(home: Home) -> None:
    process = identify_process()
    assert process is not None
    run_id = shown(home.root, Running(), process=process)
    with get_client(sync_client=True) as client:
        crashed: State[None] = Crashed(message="Execution was aborted by Python system exit call.")
        client.set_flow_run_state(run_id, crashed, force=True)
    reword_states()
    told = read(run_id).state
    assert told is not None
    assert f"process {process.pid}" in str(told.message)
    assert "the next run continues" in str(told.message)
