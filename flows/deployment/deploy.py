"""Registering the flows for the workers of a pool, on this machine or others."""

from dataclasses import dataclass, replace
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.deployments.runner import DeploymentApplyError

from configs.errors import ConfigError
from flows.deployment.deployments import (
    DeploymentSpec,
    flows_of,
    format_schedule,
    make_deployments,
    schedule_of,
)
from flows.deployment.pools import ensure_pool, set_gpu_slots
from labeling.sources.url_policy import url_scheme
from tasks.execution.prefect_server import is_this_machine, require_server, server_url


@dataclass(frozen=True, slots=True)
class Deployed:
    """A registered deployment."""

    name: str
    """Name for `prefect deployment run`: `generate-dataset/mine`."""
    starts: str
    """Its schedule, as text."""


def deploy_flows(spec: DeploymentSpec, *, pool: str) -> list[Deployed]:
    """Register or update the flows on the user's Prefect server, for the workers of a pool.

    Nothing is opened or created here: home and sources are on the workers' machines.

    Raises:
        ConfigError: no server, a pool of another type, or a relative path for workers elsewhere.
    """
    url = server_url()
    spec = replace(spec, sources=_absolute_sources(spec.sources, url), home=_absolute(spec.home, "home", url))
    require_server()
    deployments = make_deployments(spec)
    with get_client(sync_client=True) as client:
        ensure_pool(client, pool)
        set_gpu_slots(client, spec.config)
    try:
        for deployment in deployments:
            deployment.apply(work_pool_name=pool)
    except DeploymentApplyError as exc:
        raise ConfigError(f"the Prefect server at {url} refused {deployment.full_name}: {exc}") from exc
    schedules = [format_schedule(schedule_of(flow, spec.config)) for flow in flows_of(spec.config)]
    names = [deployment.full_name for deployment in deployments]
    return [Deployed(name, starts) for name, starts in zip(names, schedules, strict=True)]


def _absolute_sources(sources: list[str], url: str) -> list[str]:
    return [spec if url_scheme(spec) else str(_absolute(Path(spec), "source", url)) for spec in sources]


def _absolute(path: Path, what: str, url: str) -> Path:
    """Return an absolute path; refuse a relative one if the server, and so perhaps the workers, are elsewhere."""
    path = path.expanduser()
    if not (path.is_absolute() or is_this_machine(url)):
        raise ConfigError(
            f"{what} {path} is relative, and the workers of {url} may run on other machines: "
            "name the absolute path on those machines"
        )
    return path.absolute()
