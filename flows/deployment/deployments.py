"""The deployments of a config: flows, schedules and parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Interval, Schedule
from prefect.types.entrypoint import EntrypointType

from configs.errors import ConfigError
from configs.models import RunConfig
from configs.schedules import FlowSchedule
from labeling.storage.object_store import local_path

ONE_AT_A_TIME = ConcurrencyLimitConfig(
    limit=1,
    collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW,
    grace_period_seconds=600,  # a start on a busy machine takes longer than Prefect's five minutes
)
"""A start is cancelled while the previous run is active; the next run picks up what is new."""

_NOT_IN_NAMES = str.maketrans(dict.fromkeys("/%&<>", "-"))
"""Characters that Prefect refuses in names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """Sources, config, home and flows of a set of deployments."""

    sources: list[str]
    """As for `generate_dataset`, without passwords: Prefect shows them."""
    config: RunConfig
    name: str
    """Name of the config; the same name on one server means the same deployments."""
    home: Path
    """Absolute, because workers start in any folder."""
    flows: Mapping[str, Flow[..., Any]]
    """The flow of each schedule, by its key in the config's `schedules`."""


@dataclass(frozen=True, slots=True)
class _ScheduledFlow:
    """How a flow is deployed."""

    schedule: str
    """Its key in the config's `schedules`; `promote` has none: a round of the circle starts it."""
    parameters: Callable[[DeploymentSpec], dict[str, Any]]
    """All parameters except `home`, which every flow takes."""
    one_at_a_time: bool = True
    requires_circle: bool = False
    """Deployed only where the config has the block `circle`."""


def _generate_parameters(spec: DeploymentSpec) -> dict[str, Any]:
    config = spec.config.model_dump(mode="json", exclude={"schedules", "export", "retention", "circle"})
    return {"sources": spec.sources, "config": config, "name": spec.name}


def _run_of(spec: DeploymentSpec) -> str:
    """Return the id of the run; empty, the latest one: each promoted student begins another run."""
    return "" if spec.config.student.kind == "registry" else spec.config.run_id()


def _push_parameters(spec: DeploymentSpec) -> dict[str, Any]:
    return {"run": _run_of(spec), "settings": spec.config.review.model_dump(mode="json")}


def _export_parameters(spec: DeploymentSpec) -> dict[str, Any]:
    export = spec.config.export
    chosen = export.model_dump(mode="json", exclude={"folder"})
    out = export.folder if local_path(export.folder) is None else str(spec.home / export.folder)
    return {"out": out, "run": _run_of(spec)} | chosen


def _gc_parameters(spec: DeploymentSpec) -> dict[str, Any]:
    ages = spec.config.retention
    return {
        "delete": True,
        "older_than": ages.files_days,
        "runs_older_than": ages.superseded_runs_days,
        "retention": ages.runs_days,
    }


def _circle_parameters(spec: DeploymentSpec) -> dict[str, Any]:
    circle = spec.config.circle
    return _generate_parameters(spec) | {"circle": circle and circle.model_dump(mode="json")}


def _promote_parameters(spec: DeploymentSpec) -> dict[str, Any]:
    circle = spec.config.circle
    return {"student": "latest", "on": circle.frozen if circle else ""}


SCHEDULED_FLOWS = (
    _ScheduledFlow("generate", _generate_parameters),
    _ScheduledFlow("label", lambda spec: {"run": _run_of(spec)}, one_at_a_time=False),
    _ScheduledFlow("push", _push_parameters),
    _ScheduledFlow("pull", lambda _: {}),
    _ScheduledFlow("export", _export_parameters),
    _ScheduledFlow("recover", lambda _: {}),
    _ScheduledFlow("gc", _gc_parameters),
    _ScheduledFlow("circle", _circle_parameters, requires_circle=True),
    _ScheduledFlow("promote", _promote_parameters, requires_circle=True),
)
"""Every flow that can be scheduled; a new one is a line here, a field of `configs.schedules.Schedules` and an entry of
`flows.cli.services.scheduled_flows`."""


def make_deployments(spec: DeploymentSpec) -> list[RunnerDeployment]:
    """Return `generate-dataset/NAME`, `push-reviews/NAME` ..., in the order of `SCHEDULED_FLOWS`."""
    return [_make(spec.flows[scheduled.schedule], scheduled, spec) for scheduled in flows_of(spec.config)]


def flows_of(config: RunConfig) -> list[_ScheduledFlow]:
    """Return the flows that are deployed with a config."""
    return [scheduled for scheduled in SCHEDULED_FLOWS if config.circle or not scheduled.requires_circle]


def _make(flow: Flow[..., Any], scheduled: _ScheduledFlow, spec: DeploymentSpec) -> RunnerDeployment:
    when = schedule_of(scheduled, spec.config)
    # as a module path: with a file path, Prefect would put flows/ first on sys.path
    return RunnerDeployment.from_flow(
        flow,
        name=spec.name.translate(_NOT_IN_NAMES),
        schedule=prefect_schedule(when) if when else None,
        parameters=scheduled.parameters(spec) | {"home": str(spec.home)},
        description=(flow.description or "").partition("\n\n")[0],
        concurrency_limit=ONE_AT_A_TIME if scheduled.one_at_a_time else None,
        tags=["maskmill", spec.name],
        version=version("maskmill"),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def schedule_of(scheduled: _ScheduledFlow, config: RunConfig) -> FlowSchedule | None:
    """Return the schedule that the config gives this flow; None: it has none."""
    when: FlowSchedule | None = getattr(config.schedules, scheduled.schedule, None)
    return when


def prefect_schedule(when: FlowSchedule) -> Schedule:
    """Convert a schedule to Prefect's type."""
    if when.cron is not None:
        return Cron(when.cron, timezone=when.timezone)
    if when.interval_s is None:
        raise ConfigError("a schedule requires either cron or interval_s")
    # without an anchor Prefect counts from now: a daily flow served anew each morning would never start
    midnight = datetime(2020, 1, 1, tzinfo=ZoneInfo(when.timezone))
    return Interval(timedelta(seconds=when.interval_s), anchor_date=midnight, timezone=when.timezone)


def format_schedule(when: FlowSchedule | None) -> str:
    """Format a schedule for people.

    >>> format_schedule(FlowSchedule(cron="0 2 * * *", timezone="Europe/Berlin"))
    'cron 0 2 * * *, Europe/Berlin'
    >>> format_schedule(FlowSchedule(interval_s=600)), format_schedule(None)
    ('every 600 s', 'only manually')
    """
    if when is None:
        return "only manually"
    return f"cron {when.cron}, {when.timezone}" if when.cron else f"every {when.interval_s:g} s"
