"""The parts of Prefect 3.8 outside its public interface that we require.

The temporary server uses some, and so do `serve` and `worker`, to know which process runs a flow run.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, Protocol, cast
from uuid import UUID

from anyio.abc import TaskStatus
from prefect.client.schemas.objects import FlowRun
from prefect.runner import Runner
from prefect.server.api.server import SubprocessASGIServer
from prefect.utilities import engine
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

PREFECT_VERSION = "3.8"
"""The version that this module was checked with."""

_KILL_ON_EOF = 'read -r _; kill "$0"'
"""A shell script that waits for the end of stdin, which is the end of this process, then kills the server."""


class ParentBoundServer(SubprocessASGIServer):
    """Prefect's temporary server, with a shell beside it that ends it when this process is killed.

    Without the shell, kill -9 would leave a server of 250 MB running. Prefect keeps one server per process:
    the first instance is the one that it uses.
    """

    _watcher: "subprocess.Popen[bytes] | None" = None

    def _run_uvicorn_command(self) -> "subprocess.Popen[Any]":
        server = super()._run_uvicorn_command()
        self._stop_watcher()
        self._watcher = subprocess.Popen(  # noqa: S603  # a constant and a number
            ["/bin/sh", "-c", _KILL_ON_EOF, str(server.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C must not reach it
        )
        return server

    def stop(self) -> None:
        super().stop()
        self._stop_watcher()

    def _stop_watcher(self) -> None:
        """Stop the shell before another process can get the server's process id."""
        if self._watcher:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None


def kill_temporary_servers() -> None:
    """Kill the temporary servers of this process without waiting for their end."""
    for server in SubprocessASGIServer._instances.values():
        if server.server_process:
            server.server_process.kill()


@contextmanager
def replace_sigterm_handler(stop: Callable[[int, FrameType | None], NoReturn]) -> Iterator[None]:
    """Install a handler in flow runs instead of Prefect's own for SIGTERM.

    Prefect's handler reports the end of the flow run to the server. A temporary server has received the signal
    too and has ended: Prefect would keep calling it for more than a minute.
    """
    module: dict[str, Any] = vars(engine)
    before, module["_prefect_sigterm_handler"] = module["_prefect_sigterm_handler"], stop
    try:
        yield
    finally:
        module["_prefect_sigterm_handler"] = before


class StartObserver(Protocol):
    """Receives the flow runs that this process starts."""

    def record_submission(self, flow_run_id: UUID) -> None:
        """Called when a flow run is Pending and its process is about to be started."""

    def record_start(self, flow_run_id: UUID, pid: int) -> None:
        """Called as soon as its process is started."""


class ReportingRunner(Runner):
    """The runner behind `prefect.serve`, which reports the processes that it starts."""

    def __init__(self, observer: StartObserver, **options: Any) -> None:
        super().__init__(**options)
        self._observer = observer

    async def __aenter__(self) -> "ReportingRunner":
        await super().__aenter__()
        manager, poller = self._process_manager, self._scheduled_run_poller
        add, resolve = manager._on_add, poller._resolve_starter

        async def report_start(flow_run_id: UUID) -> None:
            handle = manager.get(flow_run_id)
            if handle and handle.pid:
                self._observer.record_start(flow_run_id, handle.pid)
            if add:
                await add(flow_run_id)

        def report_submission(flow_run: FlowRun) -> Any:
            self._observer.record_submission(flow_run.id)
            return resolve(flow_run)

        manager._on_add, poller._resolve_starter = report_start, report_submission
        return self


class ReportingWorker(ProcessWorker):
    """A process worker that reports the processes that it starts."""

    @classmethod
    def __dispatch_key__(cls) -> str | None:
        """Return a key of its own in Prefect's registry of workers; the type stays `process`."""
        return "maskmill-process"

    def __init__(self, pool: str, observer: StartObserver, **options: Any) -> None:
        super().__init__(pool, **options)
        self._observer = observer

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        self._observer.record_submission(flow_run.id)
        report = _ReportingStatus(lambda pid: self._observer.record_start(flow_run.id, pid), task_status)
        # the one call that Prefect makes, `started(pid)`, is there
        return await super().run(flow_run, configuration, cast("TaskStatus[int]", report))


class _ReportingStatus:
    """A task status that also reports the pid with which the worker calls it."""

    def __init__(self, report: Callable[[int], None], status: TaskStatus[int] | None) -> None:
        self._report = report
        self._status = status

    def started(self, value: int) -> None:
        self._report(value)
        if self._status is not None:
            self._status.started(value)
