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
from tasks.execution.prefect_runner import ReportingRunner
from tasks.execution.prefect_server import require_server

_PATIENCE_S = 10.0
"""How long a run that is told to end may take."""


def serve_flows(job: DeploymentSpec) -> None:
    """Register the flows with the user's Prefect server and work on their runs, until Ctrl-C.

    While nobody serves them, their schedules are paused.

    Raises:
        ConfigError: there is no server, it does not answer, or it has workers do this.
        HomeNotWritable: found before the first run finds it.
    """
    require_server()
    Home(job.home).create()
    with RecoveryLoop(lambda: [job.home]) as recovery:  # at once: registering takes a while
        deployments = make_deployments(job)
        with get_client(sync_client=True) as client:
            _refuse_those_of_workers(client, deployments)
            set_gpu_slots(client, job.config)
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


def _refuse_those_of_workers(client: SyncPrefectClient, deployments: list[RunnerDeployment]) -> None:
    """Both would start each run, and we would pause the workers' schedules at our end."""
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
    """A terminal's Ctrl-C reaches them too; a service manager's SIGTERM need not."""
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(_PATIENCE_S)
        worker.kill()


def _pause(deployments: list[RunnerDeployment]) -> None:
    with get_client(sync_client=True) as client:
        for deployment in deployments:
            client.pause_deployment(client.read_deployment_by_name(deployment.full_name).id)
