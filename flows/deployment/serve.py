"""Flows that start by themselves, or from Prefect's UI, on this machine."""

import asyncio
import multiprocessing
from contextlib import suppress

import typer
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound, TerminationSignal

from configs.errors import ConfigError
from flows.deployment.deployments import DeploymentSpec, make_deployments
from flows.deployment.pools import set_gpu_slots
from flows.deployment.recovery import RecoveryLoop
from labeling.storage.home import Home
from tasks.execution.prefect_compat.processes import ReportingRunner
from tasks.execution.prefect_server import require_server

_STOP_TIMEOUT_S = 10.0
"""How long a run may take to end after SIGTERM."""


def serve_flows(spec: DeploymentSpec) -> None:
    """Register the flows with the user's Prefect server and execute their runs until Ctrl-C.

    Their schedules are paused while no process serves them.

    Raises:
        ConfigError: no server, it does not answer, or these deployments belong to a work pool.
        HomeNotWritable: checked before the first run.
    """
    require_server()
    Home(spec.home).create()
    with RecoveryLoop(lambda: [spec.home]) as recovery:  # at once: registering takes a while
        deployments = make_deployments(spec)
        with get_client(sync_client=True) as client:
            _refuse_pool_deployments(client, deployments)
            set_gpu_slots(client, spec.config)
        try:
            _serve(deployments, recovery)
        finally:
            _end_workers()
            _pause(deployments)
            recovery.crash_ended_runs("`maskmill serve` was stopped; the next run goes on from here")


def _serve(deployments: list[RunnerDeployment], recovery: RecoveryLoop) -> None:
    """Do what `prefect.serve` does, with a runner that reports its processes."""
    # Prefect's own pause at the end is cut short by SIGTERM
    runner = ReportingRunner(recovery, pause_on_shutdown=False)
    for deployment in deployments:
        runner.add_deployment(deployment)
    names = ", ".join(deployment.full_name for deployment in deployments)
    typer.echo(f"the deployments are being served, until Ctrl-C: {names}")
    with suppress(KeyboardInterrupt, TerminationSignal):
        asyncio.run(runner.start())


def _refuse_pool_deployments(client: SyncPrefectClient, deployments: list[RunnerDeployment]) -> None:
    """Refuse deployments of a work pool: both would start each run, and this process would pause their schedules."""
    for name in (deployment.full_name for deployment in deployments):
        try:
            pool = client.read_deployment_by_name(name).work_pool_name
        except ObjectNotFound:
            continue
        if pool:
            raise ConfigError(
                f"{name} was deployed to the work pool {pool!r}, whose workers run it: start one with "
                f"`maskmill worker --pool {pool}`, or serve a config of another name"
            )


def _end_workers() -> None:
    """Stop the children; Ctrl-C of a terminal reaches them, SIGTERM of a service manager may not."""
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(_STOP_TIMEOUT_S)
        worker.kill()


def _pause(deployments: list[RunnerDeployment]) -> None:
    with get_client(sync_client=True) as client:
        for deployment in deployments:
            client.pause_deployment(client.read_deployment_by_name(deployment.full_name).id)
