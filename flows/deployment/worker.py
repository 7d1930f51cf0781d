"""A worker of a work pool: starts a process for each run that is due."""

import asyncio
import math
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import typer
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.workers.process import ProcessWorker

from flows.deployment.pools import ensure_pool
from flows.deployment.recovery import RecoveryLoop
from tasks.execution.prefect_compat.processes import ReportingWorker
from tasks.execution.prefect_server import require_server
from tasks.execution.zombies import TAG
from tasks.observability.best_effort import PREFECT_ERRORS

_HOMES_S = 60.0
"""How long the answer about a pool's homes is used for metrics."""


def work(pool: str, *, name: str | None = None, limit: int | None = None, healthcheck: bool = False) -> None:
    """Execute the runs of a pool until SIGINT or SIGTERM, which also ends the runs in progress.

    Args:
        pool: work pool; created if missing.
        name: name of this worker in Prefect.
        limit: concurrent runs; None: no limit.
        healthcheck: answer `/health` at Prefect's `worker.webserver` host and port.

    Raises:
        ConfigError: no server, it does not answer, or the pool has another type.
    """
    require_server()
    with get_client(sync_client=True) as client:
        if ensure_pool(client, pool):
            typer.echo(
                f"created the work pool {pool!r}: `maskmill deploy SOURCE... --pool {pool}` registers flows for it"
            )
    name = name or f"{socket.gethostname()}-{os.getpid()}"
    recovery = RecoveryLoop(lambda: _homes(pool))
    worker = ReportingWorker(pool, recovery, name=name, limit=limit, create_pool_if_not_found=False)
    with recovery:
        asyncio.run(_start(worker, healthcheck=healthcheck))
    recovery.crash_ended_runs(f"the worker {name} was stopped; the next run goes on from here")


async def _start(worker: ProcessWorker, *, healthcheck: bool) -> None:
    """Run until a signal; Prefect's own command waits for a second one after SIGTERM."""
    task = asyncio.create_task(worker.start(with_healthcheck=healthcheck, printer=typer.echo))
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


@dataclass(slots=True)
class PoolHomes:
    """The homes of a pool's deployments, asked for at most once a minute; the last known ones without an answer."""

    pool: str
    _known: list[Path] = field(default_factory=list)
    _asked_s: float = -math.inf

    def __call__(self) -> list[Path]:
        now_s = time.monotonic()
        if now_s - self._asked_s > _HOMES_S:
            self._asked_s = now_s
            with suppress(*PREFECT_ERRORS):
                self._known = _homes(self.pool)
        return self._known


def _homes(pool: str) -> list[Path]:
    """Return the homes of the deployments whose runs this pool's workers start."""
    ours = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    with get_client(sync_client=True) as client:
        found = client.read_deployments(work_pool_filter=ours, deployment_filter=tagged)
    homes = {deployment.parameters.get("home") for deployment in found}
    return [Path(home) for home in homes if isinstance(home, str)]
