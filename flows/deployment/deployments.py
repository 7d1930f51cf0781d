"""Which flows Prefect is told of, when each starts by itself, and what it is to know."""

from collections.abc import Callable
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
from flows.export import export_dataset
from flows.garbage import collect_garbage_flow
from flows.generate import generate_dataset
from flows.label import label_shards
from flows.reap import reap
from flows.review import pull_reviews, push_reviews
from labeling.storage.object_store import local_path

ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
"""A run that outlasts its interval is not followed by a queue: what is new is the next one's."""

_NOT_IN_NAMES = str.maketrans(dict.fromkeys("/%&<>", "-"))
"""What Prefect refuses in a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """What somebody wants done again and again."""

    sources: list[str]
    """As for `generate_dataset`; without passwords, since Prefect shows them."""
    config: RunConfig
    name: str
    """What the config is called. The same name on one server is the same deployments."""
    home: Path
    """Absolute: Prefect shows it to people who are elsewhere, and workers start anywhere."""


@dataclass(frozen=True, slots=True)
class _ScheduledFlow:
    """One flow that becomes a deployment of every job."""

    flow: Flow[..., Any]
    schedule: str
    """Its key among the config's `schedules`."""
    parameters: Callable[[DeploymentSpec], dict[str, Any]]
    """Without `home`, which all of them take."""
    one_at_a_time: bool = True


def _generating(job: DeploymentSpec) -> dict[str, Any]:
    config = job.config.model_dump(mode="json", exclude={"schedules", "export"})
    return {"sources": job.sources, "config": config, "name": job.name}


def _helping(job: DeploymentSpec) -> dict[str, Any]:
    return {"run": job.config.run_id()}


def _pushing(job: DeploymentSpec) -> dict[str, Any]:
    return {"run": job.config.run_id(), "settings": job.config.review.model_dump(mode="json")}


def _exporting(job: DeploymentSpec) -> dict[str, Any]:
    export = job.config.export
    chosen = export.model_dump(mode="json", exclude={"folder"})
    out = export.folder if local_path(export.folder) is None else str(job.home / export.folder)
    return {"out": out, "run": job.config.run_id()} | chosen


def _deleting(_job: DeploymentSpec) -> dict[str, Any]:
    return {"delete": True}


def _nothing(_job: DeploymentSpec) -> dict[str, Any]:
    return {}


SCHEDULED_FLOWS = (
    _ScheduledFlow(generate_dataset, "generate", _generating),
    _ScheduledFlow(label_shards, "label", _helping, one_at_a_time=False),
    _ScheduledFlow(push_reviews, "push", _pushing),
    _ScheduledFlow(pull_reviews, "pull", _nothing),
    _ScheduledFlow(export_dataset, "export", _exporting),
    _ScheduledFlow(reap, "reap", _nothing, one_at_a_time=False),  # one that died would keep the next away
    _ScheduledFlow(collect_garbage_flow, "gc", _deleting),
)
"""Every flow that can be scheduled: a new one is a line here, and one in `configs.schedules.Schedules`."""


def make_deployments(job: DeploymentSpec) -> list[RunnerDeployment]:
    """`generate-dataset/NAME`, `push-reviews/NAME` and so on, in the order of `OFFERS`."""
    return [_make(offer, job) for offer in SCHEDULED_FLOWS]


def _make(offer: _ScheduledFlow, job: DeploymentSpec) -> RunnerDeployment:
    when = schedule_of(offer, job.config)
    # by its module: by its file, Prefect would put flows/ first among the places of imports
    return RunnerDeployment.from_flow(
        offer.flow,
        name=job.name.translate(_NOT_IN_NAMES),
        schedule=prefect_schedule(when) if when else None,
        parameters=offer.parameters(job) | {"home": str(job.home)},
        description=(offer.flow.description or "").partition("\n\n")[0],
        concurrency_limit=ONE_AT_A_TIME if offer.one_at_a_time else None,
        tags=["maskmill", job.name],
        version=version("maskmill"),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def schedule_of(offer: _ScheduledFlow, config: RunConfig) -> FlowSchedule | None:
    """When the config wants this flow to start by itself."""
    when: FlowSchedule | None = getattr(config.schedules, offer.schedule)
    return when


def prefect_schedule(when: FlowSchedule) -> Schedule:
    """The same schedule in Prefect's words."""
    if when.cron is not None:
        return Cron(when.cron, timezone=when.timezone)
    if when.interval_s is None:
        raise ConfigError("a schedule wants either cron or interval_s")
    # Prefect counts from now unless told: served anew each morning, a daily flow would never start
    midnight = datetime(2020, 1, 1, tzinfo=ZoneInfo(when.timezone))
    return Interval(timedelta(seconds=when.interval_s), anchor_date=midnight, timezone=when.timezone)


def format_schedule(when: FlowSchedule | None) -> str:
    """In words, for people.

    >>> format_schedule(FlowSchedule(cron="0 2 * * *", timezone="Europe/Berlin"))
    'cron 0 2 * * *, Europe/Berlin'
    >>> format_schedule(FlowSchedule(interval_s=600)), format_schedule(None)
    ('every 600 s', 'when somebody starts it')
    """
    if when is None:
        return "when somebody starts it"
    return f"cron {when.cron}, {when.timezone}" if when.cron else f"every {when.interval_s:g} s"
