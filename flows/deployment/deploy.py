"""Flows that workers run, on this machine and others."""

from dataclasses import dataclass
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.deployments.runner import DeploymentApplyError

from configs.errors import ConfigError
from configs.models import RunConfig
from flows.deployment.deployments import (
    SCHEDULED_FLOWS,
    DeploymentSpec,
    format_schedule,
    make_deployments,
    schedule_of,
)
from flows.deployment.pools import ensure_pool, set_gpu_slots
from labeling.sources.url_policy import url_scheme
from tasks.execution.prefect_server import is_this_machine, require_server, server_url


@dataclass(frozen=True, slots=True)
class Deployed:
    """One deployment as the server now has it."""

    name: str
    """As `prefect deployment run` wants it: `generate-dataset/mine`."""
    starts: str
    """When, in words."""


def deploy_flows(
    sources: list[str], config: RunConfig, *, name: str, home: Path, pool: str
) -> list[Deployed]:
    """Register the flows on the user's Prefect server, for the workers of a pool; again: change them.

    Nothing is opened or created here: home and sources are where the workers are.

    Raises:
        ConfigError: there is no server, the pool is of another type, a path says not where it is.
    """
    url = server_url()
    job = DeploymentSpec(
        sources=_whole_sources(sources, url), config=config, name=name, home=_whole(home, "home", url)
    )
    require_server()
    deployments = make_deployments(job)
    with get_client(sync_client=True) as client:
        ensure_pool(client, pool)
        set_gpu_slots(client, config)
    try:
        for deployment in deployments:
            deployment.apply(work_pool_name=pool)
    except DeploymentApplyError as exc:
        raise ConfigError(f"the Prefect server at {url} refused {deployment.full_name}: {exc}") from exc
    when = [format_schedule(schedule_of(offer, config)) for offer in SCHEDULED_FLOWS]
    names = [deployment.full_name for deployment in deployments]
    return [Deployed(name, starts) for name, starts in zip(names, when, strict=True)]


def _whole_sources(sources: list[str], url: str) -> list[str]:
    return [spec if url_scheme(spec) else str(_whole(Path(spec), "source", url)) for spec in sources]


def _whole(path: Path, what: str, url: str) -> Path:
    """The path from the root on; of a server elsewhere, the workers may be anywhere too."""
    path = path.expanduser()
    if not (path.is_absolute() or is_this_machine(url)):
        raise ConfigError(
            f"{what} {path}: a relative path, and the workers of {url} may be on other machines; "
            "name the whole path, as it is there"
        )
    return path.absolute()
