"""A runner and a worker of Prefect that report which process runs a flow run."""

from collections.abc import Callable
from typing import Any, Protocol, cast
from uuid import UUID

from anyio.abc import TaskStatus
from prefect.client.schemas.objects import FlowRun
from prefect.runner import Runner
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult


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
