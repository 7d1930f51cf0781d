"""Flows that start by themselves, or from Prefect's UI, on this machine."""

import multiprocessing

from prefect import serve
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound

from configs.errors import ConfigError
from flows.deployment.deployments import DeploymentSpec, make_deployments
from flows.deployment.pools import set_gpu_slots
from labeling.storage.home import Home
from tasks.execution.prefect_server import require_server, runs_at_work, stop_runs

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
    deployments = make_deployments(job)
    with get_client(sync_client=True) as client:
        _refuse_those_of_workers(client, deployments)
        set_gpu_slots(client, job.config)
    try:
        # Prefect's own pause at the end is cut short by SIGTERM
        serve(*deployments, pause_on_shutdown=False)
    finally:
        _end_workers()
        _sign_off(deployments)


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


def _sign_off(deployments: list[RunnerDeployment]) -> None:
    """Pause the schedules, and say of runs that ended with us that they did."""
    with get_client(sync_client=True) as client:
        ids = [client.read_deployment_by_name(deployment.full_name).id for deployment in deployments]
        for deployment_id in ids:
            client.pause_deployment(deployment_id)
        ours = DeploymentFilter(id=DeploymentFilterId(any_=ids))
        runs = runs_at_work(client, deployment_filter=ours)
        stop_runs(client, runs, "`maskmill serve` was stopped; the next run goes on from here")
