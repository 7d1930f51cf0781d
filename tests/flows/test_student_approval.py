"""The flow `promote-student`: it waits for a person, who decides in Prefect."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.flow_runs import resume_flow_run

from configs.errors import ConfigError
from db.students.registry import list_promotions, list_students
from flows.students import promote_student_flow
from labeling.storage.home import Home
from tasks.execution.context import open_context
from tasks.students.promote import Promotion
from tests.conftest import ROOT
from tests.tasks.conftest import home
from tests.tasks.students.planting import freeze, plant_version
from tests.tasks.students.students import register_red
from tests.tasks.students.test_registry import BLIND, GOOD

__all__ = ["home"]
pytestmark = pytest.mark.long
in_process = pytest.mark.usefixtures("prefect")
PROMOTE, KEEP = "promote", "keep the current one"


@pytest.fixture
def students(home: Home, tmp_path: Path) -> tuple[str, str]:
    """A student that finds people, and one that finds none."""
    plant_version(home)
    freeze(home, "f0", "f1", "f2")
    context = open_context(home)
    return tuple(  # type: ignore[return-value]  # two of them
        register_red(context, tmp_path / name, least=least)
        for name, least in (("good", GOOD), ("blind", BLIND))
    )


def paused_runs() -> Iterator[FlowRun]:
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter()):
            if run.state_type == StateType.PAUSED and run.name.startswith("promote"):
                yield run


def promote(home: Home, student: str, against: str, answer: dict[str, str]) -> Any:
    """Run the flow, and answer when it is paused; return its result, or its error."""
    found: list[Any] = []

    def call() -> None:
        try:
            found.append(promote_student_flow(student[:12], "frozen", against[:12], home.root))
        except ConfigError as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not (paused := list(paused_runs())) and thread.is_alive():
        time.sleep(0.2)
    with open_context(home).database.session() as session:
        assert "current" not in {one.state for one in list_students(session)}  # nothing happens before
    [run] = paused
    resume_flow_run(run.id, run_input=answer)
    thread.join()
    return found[0]


@in_process
def test_an_approved_student_becomes_current_and_the_database_names_the_person(
    home: Home, students: tuple[str, str]
) -> None:
    good, blind = students
    done = promote(home, good, blind, {"decision": PROMOTE, "approved_by": "ann@example.org"})
    assert isinstance(done, Promotion)
    assert (done.student.id, done.student.state) == (good, "current")
    with open_context(home).database.session() as session:
        [row] = list_promotions(session)
    assert (row.made_by, row.action, row.refusals) == ("ann@example.org", "promote", [])


@in_process
def test_a_person_may_keep_the_current_student(home: Home, students: tuple[str, str]) -> None:
    assert promote(home, *students, {"decision": KEEP, "approved_by": "ann"}) is None
    with open_context(home).database.session() as session:
        assert list_promotions(session) == []


@in_process
def test_a_refused_student_requires_a_reason(home: Home, students: tuple[str, str]) -> None:
    good, blind = students
    refused = promote(home, blind, good, {"decision": PROMOTE, "approved_by": "ann"})
    assert isinstance(refused, ConfigError)
    assert "it is worse" in str(refused)
    reason = {"overrule_because": "a demonstration"}
    done = promote(home, blind, good, {"decision": PROMOTE, "approved_by": "ann"} | reason)
    assert done.student.id == blind
    assert done.overruled


@in_process
def test_without_approval_what_is_refused_is_an_error(home: Home, students: tuple[str, str]) -> None:
    good, blind = students
    with pytest.raises(ConfigError, match="is not promoted"):
        promote_student_flow(blind[:12], "frozen", good[:12], home.root, needs_approval=False)
    done = promote_student_flow(good[:12], "frozen", blind[:12], home.root, needs_approval=False)
    assert isinstance(done, Promotion)


SERVE = "from flows.students import promote_student_flow; promote_student_flow.serve('exam')"


def wait_for(client: SyncPrefectClient, run_id: UUID, kind: StateType) -> FlowRun:
    """Return the run once it is in a state; fail if it ends otherwise."""
    while True:
        run = client.read_flow_run(run_id)
        if run.state_type == kind:
            return run
        assert run.state_type not in (StateType.FAILED, StateType.CRASHED), run.state
        time.sleep(0.5)


def test_a_deployment_is_suspended_and_starts_again_with_the_answer(
    home: Home, students: tuple[str, str], prefect_server: dict[str, str]
) -> None:
    good, blind = students
    environment = os.environ | prefect_server | {"PYTHONPATH": str(ROOT)}
    service = subprocess.Popen([sys.executable, "-c", SERVE], env=environment, cwd=ROOT)
    try:
        with SyncPrefectClient(prefect_server["PREFECT_API_URL"]) as client:
            while not (found := client.read_deployments()):
                assert service.poll() is None
                time.sleep(0.5)
            parameters = {"student": good, "on": "frozen", "against": blind, "home": str(home.root)}
            run = client.create_flow_run_from_deployment(found[0].id, parameters=parameters)
            assert wait_for(client, run.id, StateType.PAUSED).state_name == "Suspended"
            with open_context(home).database.session() as session:
                assert list_promotions(session) == []
            client.resume_flow_run(run.id, run_input={"decision": PROMOTE, "approved_by": "ann@example.org"})
            wait_for(client, run.id, StateType.COMPLETED)
    finally:
        service.send_signal(signal.SIGINT)
        service.wait(30)
    with open_context(home).database.session() as session:
        [row] = list_promotions(session)
    assert (row.student_id, row.made_by) == (good, "ann@example.org")
