"""Flows that start by themselves, or from Prefect's UI, on this machine."""

import multiprocessing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from prefect import Flow, State, serve
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Interval, Schedule
from prefect.settings import PREFECT_API_URL
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from configs.models import RunConfig
from configs.schedules import FlowSchedule
from flows.generate import generate_dataset
from flows.review import pull_reviews, push_reviews
from labeling.errors import ConfigError
from labeling.storage import Home

ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
"""A run that outlasts its interval is not followed by a queue: what is new is the next one's."""

START_A_SERVER = (
    "start one with `prefect server start`, and here `export PREFECT_API_URL=http://127.0.0.1:4200/api`"
)

_NOT_IN_NAMES = str.maketrans(dict.fromkeys("/%&<>", "-"))
"""What Prefect refuses in a name."""

_PATIENCE_S = 10.0
"""How long a run that is told to end may take."""

_AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def serve_flows(sources: list[str], config: RunConfig, *, name: str, home: Path) -> None:
    """Register the flows with the user's Prefect server and work on their runs, until Ctrl-C.

    While nobody serves them, their schedules are paused.

    Raises:
        ConfigError: there is no server, or it does not answer.
        HomeNotWritable: found before the first run finds it.
    """
    _want_server()
    place = Home(home.expanduser().resolve())
    place.create()
    deployments = make_deployments(sources, config, name=name, home=place.root)
    try:
        # Prefect's own pause at the end is cut short by SIGTERM
        serve(*deployments, pause_on_shutdown=False)
    finally:
        _end_workers()
        _sign_off(deployments)


def make_deployments(
    sources: list[str], config: RunConfig, *, name: str, home: Path
) -> list[RunnerDeployment]:
    """`generate-dataset/NAME`, `push-reviews/NAME` and `pull-reviews/NAME`, with all that they are to know.

    Args:
        sources: as for `generate_dataset`; without passwords, since Prefect shows them.
        config: the run, and `schedules`.
        name: what the config is called. The same name on one server is the same deployments.
        home: absolute: Prefect shows it to people who are elsewhere.
    """
    run = config.model_dump(mode="json", exclude={"schedules"})
    review = {"run": config.run_id(), "settings": config.review.model_dump(mode="json")}
    generating = {"sources": sources, "config": run, "name": name}
    when = config.schedules
    return [
        _deploy(generate_dataset, name, home, generating, when.generate),
        _deploy(push_reviews, name, home, review, when.push),
        _deploy(pull_reviews, name, home, {}, when.pull),
    ]


def _deploy(
    flow: Flow[..., Any], name: str, home: Path, parameters: dict[str, Any], when: FlowSchedule | None
) -> RunnerDeployment:
    # by its module: by its file, Prefect would put flows/ first among the places of imports
    return RunnerDeployment.from_flow(
        flow,
        name=name.translate(_NOT_IN_NAMES),
        schedule=prefect_schedule(when) if when else None,
        parameters=parameters | {"home": str(home)},
        concurrency_limit=ONE_AT_A_TIME,
        tags=["maskmill", name],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def prefect_schedule(when: FlowSchedule) -> Schedule:
    """The same schedule in Prefect's words."""
    if when.cron is not None:
        return Cron(when.cron, timezone=when.timezone)
    if when.interval_s is None:
        raise ConfigError("a schedule wants either cron or interval_s")
    # Prefect counts from now unless told: served anew each morning, a daily flow would never start
    midnight = datetime(2020, 1, 1, tzinfo=ZoneInfo(when.timezone))
    return Interval(timedelta(seconds=when.interval_s), anchor_date=midnight, timezone=when.timezone)


def _want_server() -> None:
    url = PREFECT_API_URL.value()
    if not url:
        raise ConfigError(f"schedules want a Prefect server that stays: {START_A_SERVER}")
    with get_client(sync_client=True) as client:
        if problem := client.api_healthcheck():
            raise ConfigError(f"no Prefect server answers at {url}: {START_A_SERVER}") from problem


def _end_workers() -> None:
    """A terminal's Ctrl-C reaches them too; a service manager's SIGTERM need not."""
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(_PATIENCE_S)
        worker.kill()


def _sign_off(deployments: list[RunnerDeployment]) -> None:
    """Pause the schedules, and say of runs that ended with us that they did.

    Prefect would show them as running for good, and for five minutes start no other in their place.
    """
    stopped: State[Any] = Crashed(message="`maskmill serve` was stopped; the next run goes on from here")
    at_work = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_AT_WORK)))
    with get_client(sync_client=True) as client:
        names = [f"{deployment.flow_name}/{deployment.name}" for deployment in deployments]
        ids = [client.read_deployment_by_name(name).id for name in names]
        for deployment_id in ids:
            client.pause_deployment(deployment_id)
        ours = DeploymentFilter(id=DeploymentFilterId(any_=ids))
        for run in client.read_flow_runs(flow_run_filter=at_work, deployment_filter=ours):
            client.set_flow_run_state(run.id, stopped, force=True)
