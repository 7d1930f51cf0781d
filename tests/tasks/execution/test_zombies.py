"""Flow runs that Prefect shows as going on, of which the ledger knows nothing."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Pending, Running, Scheduled

from db.runs.leases import enter_execution
from labeling.storage.home import Home
from tasks.execution.database import close_databases, database_of
from tasks.execution.zombies import START_S, TAG, mark_stillborn

pytestmark = pytest.mark.usefixtures("prefect")


@flow
def some_flow(home: Path) -> None:
    """Nothing."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr("tasks.execution.zombies.BEAT_S", 0.1)
    place = Home(tmp_path / "home")
    place.create()
    yield place
    close_databases()


def shown(home: Path, state: State[None], *, tag: str = TAG) -> UUID:
    """A flow run as Prefect shows it, though it has no process."""
    with get_client(sync_client=True) as client:
        return client.create_flow_run(some_flow, parameters={"home": str(home)}, tags=[tag], state=state).id


def state_of(run_id: UUID) -> StateType | None:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id).state_type


@pytest.mark.parametrize("state", [Pending(), Running()])
def test_a_run_that_never_came_to_work_is_marked(
    state: State[None], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shown(home.root, state)
    assert mark_stillborn(home) == []  # it may be about to
    monkeypatch.setitem(START_S, state.type, 0.0)
    assert len(mark_stillborn(home)) == 1
    assert state_of(run) == StateType.CRASHED
    assert mark_stillborn(home) == []


def test_runs_that_are_at_work_or_wait_or_are_of_others_are_left_alone(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.execution.zombies.START_S", {StateType.PENDING: 0.0, StateType.RUNNING: 0.0})
    at_work = shown(home.root, Running())
    with database_of(home).transaction() as session:
        enter_execution(session, str(at_work), flow="generate-dataset", place="here")
    others = [
        shown(home.root, Scheduled()),
        shown(tmp_path / "elsewhere", Running()),
        shown(home.root, Running(), tag="somebody else"),
    ]
    assert mark_stillborn(home) == []
    assert state_of(at_work) == StateType.RUNNING
    assert StateType.CRASHED not in map(state_of, others)
