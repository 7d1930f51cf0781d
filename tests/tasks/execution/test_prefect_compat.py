"""The parts of Prefect that are not public: a new version is checked here first."""

import inspect
import signal
from types import FrameType
from typing import Any, NoReturn
from uuid import UUID, uuid4

import anyio
import prefect
import pytest
from prefect.runner import Runner
from prefect.runner._process_manager import ProcessManager
from prefect.server.api.server import SubprocessASGIServer
from prefect.utilities import engine
from prefect.utilities.engine import capture_sigterm
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from tasks.execution.prefect_compat import (
    PREFECT_VERSION,
    ParentBoundServer,
    ReportingRunner,
    ReportingWorker,
    replace_sigterm_handler,
)


def test_prefect_has_the_version_that_was_checked() -> None:
    assert prefect.__version__.startswith(f"{PREFECT_VERSION}."), "check prefect_compat, then PREFECT_VERSION"


def test_the_private_members_of_the_temporary_server_exist() -> None:
    assert isinstance(SubprocessASGIServer._instances, dict)
    assert "server_process" in inspect.getsource(SubprocessASGIServer.__init__)
    overridden = inspect.signature(SubprocessASGIServer._run_uvicorn_command).parameters
    assert list(inspect.signature(ParentBoundServer._run_uvicorn_command).parameters) == list(overridden)


def test_a_flow_run_takes_the_replaced_handler_of_sigterm_and_puts_the_earlier_one_back() -> None:
    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        raise InterruptedError(signum)

    before = signal.getsignal(signal.SIGTERM)
    with replace_sigterm_handler(stop), pytest.raises(InterruptedError), capture_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
    with capture_sigterm():
        assert signal.getsignal(signal.SIGTERM) is engine._prefect_sigterm_handler is not stop


class Recorder:
    """Remembers what is reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[UUID, int | None]] = []

    def record_submission(self, flow_run_id: UUID) -> None:
        self.seen.append((flow_run_id, None))

    def record_start(self, flow_run_id: UUID, pid: int) -> None:
        self.seen.append((flow_run_id, pid))


class Handle:
    """A process, as Prefect's process manager keeps it."""

    pid = 17

    def close(self) -> None:
        """Nothing is open."""


def test_the_arguments_are_those_that_are_passed_on() -> None:
    assert list(inspect.signature(ProcessWorker.run).parameters) == [
        "self",
        "flow_run",
        "configuration",
        "task_status",
    ]
    assert {"on_add", "on_remove"} <= set(inspect.signature(ProcessManager.__init__).parameters)


def test_a_worker_is_of_prefects_type_and_takes_nobodys_place() -> None:
    assert ReportingWorker.type == ProcessWorker.type == "process"
    assert BaseWorker.get_worker_class_from_type("process") is ProcessWorker


@pytest.mark.usefixtures("prefect")
def test_a_runner_reports_a_submission_and_the_pid_of_its_process() -> None:
    recorder, run_id = Recorder(), uuid4()

    class Run:
        id = run_id
        deployment_id = None

    async def add() -> None:
        async with ReportingRunner(recorder, pause_on_shutdown=False) as runner:
            assert isinstance(runner, Runner)
            handle: Any = Handle()
            flow_run: Any = Run()
            runner._scheduled_run_poller._resolve_starter(flow_run)
            await runner._process_manager.add(run_id, handle)
            await runner._process_manager.remove(run_id)

    anyio.run(add)
    assert recorder.seen == [(run_id, None), (run_id, 17)]


@pytest.mark.usefixtures("prefect")
def test_a_worker_reports_a_submission_and_the_pid_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, run_id = Recorder(), uuid4()
    passed_on: list[int] = []

    class Run:
        id = run_id

    class Status:
        def started(self, value: int) -> None:
            passed_on.append(value)

    async def start(_worker: object, _run: object, _configuration: object, task_status: Any = None) -> None:
        task_status.started(17)

    monkeypatch.setattr(ProcessWorker, "run", start)
    worker = ReportingWorker("pool", recorder, name="one")
    anything: Any = Run()
    status: Any = Status()
    anyio.run(worker.run, anything, anything, status)
    assert recorder.seen == [(run_id, None), (run_id, 17)]
    assert passed_on == [17]
