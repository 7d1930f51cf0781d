"""A worker of a work pool: it starts a process for each run that is due."""

import asyncio
import os
import signal
import socket
from contextlib import suppress

import typer
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.workers.process import ProcessWorker

from flows.deployment.pools import ensure_pool
from tasks.execution.prefect_server import require_server, runs_at_work, stop_runs

_WORKER_LABEL = "prefect.worker.name"
"""What Prefect writes on a run that a worker started."""


def work(pool: str, *, name: str | None = None, limit: int | None = None, healthcheck: bool = False) -> None:
    """Work on the runs of a pool, until SIGINT or SIGTERM. One is enough: runs at work end with us.

    Args:
        pool: made when there is none.
        name: should be this worker's alone: at the end, runs at work under it are said to have crashed.
        limit: runs at once at most; None: all that are due.
        healthcheck: answer `/health` at Prefect's `worker.webserver` host and port.

    Raises:
        ConfigError: there is no server, it does not answer, or the pool is of another type.
    """
    require_server()
    with get_client(sync_client=True) as client:
        if ensure_pool(client, pool):
            typer.echo(
                f"made the work pool {pool!r}: `maskmill deploy SOURCE... --pool {pool}` gives it work"
            )
    name = name or f"{socket.gethostname()}-{os.getpid()}"
    worker = ProcessWorker(pool, name=name, limit=limit, create_pool_if_not_found=False)
    asyncio.run(_start(worker, healthcheck=healthcheck))
    with get_client(sync_client=True) as client:
        _sign_off(client, pool, name)


async def _start(worker: ProcessWorker, *, healthcheck: bool) -> None:
    """Until a signal. Prefect's own command waits for a second one after SIGTERM."""
    this = asyncio.create_task(worker.start(with_healthcheck=healthcheck, printer=typer.echo))
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, this.cancel)
    with suppress(asyncio.CancelledError):
        await this


def _sign_off(client: SyncPrefectClient, pool: str, name: str) -> None:
    ours = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    runs = runs_at_work(client, work_pool_filter=ours)
    stopped = [run for run in runs if run.labels.get(_WORKER_LABEL) == name]
    stop_runs(client, stopped, f"the worker {name} was stopped; the next run goes on from here")
