"""The parts of Prefect that are not public: a new version is checked here first."""

import inspect
import re
import signal
import subprocess
import sys
from threading import Thread
from types import FrameType
from typing import Any, NoReturn
from uuid import UUID, uuid4

import anyio
import prefect
import pytest
from prefect.client.orchestration import get_client
from prefect.runner import Runner
from prefect.runner._process_manager import ProcessManager
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS as STARTUP_TIMEOUT
from prefect.utilities import engine
from prefect.utilities.engine import capture_sigterm
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from configs.errors import PrefectNotStarted
from tasks.execution.prefect_compat import PREFECT_VERSION, temporary_server
from tasks.execution.prefect_compat.processes import ReportingRunner, ReportingWorker
from tasks.execution.prefect_compat.signals import replace_sigterm_handler
from tasks.execution.prefect_compat.temporary_server import (
    APPLICATION,
    TemporaryServer,
    is_temporary,
    use_temporary_server,
)
from tasks.observability.best_effort import has_server


def test_prefect_has_the_version_that_was_checked() -> None:
    assert prefect.__version__.startswith(f"{PREFECT_VERSION}."), "check prefect_compat, then PREFECT_VERSION"


@pytest.mark.slow
def test_the_temporary_server_is_started_as_prefect_starts_its_own() -> None:
    # not above: it is 4 s of CPU in each process that collects the tests
    from prefect.server.api.server import SubprocessASGIServer, create_app

    own = inspect.getsource(SubprocessASGIServer._run_uvicorn_command)
    assert f"{create_app.__module__}:{create_app.__name__}" == APPLICATION
    ours = inspect.getsource(temporary_server)
    for word in re.findall(r'"(?:PREFECT_+\w+|--\w[\w-]+|uvicorn|on|error)"', own):
        assert word.strip('"') in ours or word == '"--app-dir"', word


@pytest.mark.slow
def test_importing_the_temporary_server_loads_no_server() -> None:
    """Prefect's whole server takes longer to import than a small run takes."""
    code = "import sys, flows.cli.temporary_server, flows.generate; print('prefect.server.api.server' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_a_temporary_server_is_used_in_the_block_in_all_threads_and_kept_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(temporary_server, "APPLICATION", "tests.fakes.healthy_server:create_app")
    servers: list[TemporaryServer] = []
    monkeypatch.setattr(temporary_server, "_servers", servers)
    in_thread: list[str] = []
    with temporary_settings({PREFECT_API_URL: None, STARTUP_TIMEOUT: 120}):
        for _ in range(2):
            with use_temporary_server(), get_client(sync_client=True) as client:
                assert client.api_healthcheck() is None
                (server,) = servers
                assert server.url == PREFECT_API_URL.value() == str(client.api_url).rstrip("/")
                assert is_temporary(server.url)
                assert not has_server()
                thread = Thread(target=lambda: in_thread.append(PREFECT_API_URL.value()))
                thread.start()
                thread.join()
            assert PREFECT_API_URL.value() is None
    assert in_thread == [server.url] * 2
    server.stop()
    assert not server.is_running


def test_a_server_that_ends_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_server, "APPLICATION", "no.such.module:create_app")
    server = TemporaryServer()
    with temporary_settings({STARTUP_TIMEOUT: 120}), pytest.raises(PrefectNotStarted, match="exit code 1"):
        server.wait()
    assert not server.is_running


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
