"""`maskmill serve`, `deploy` and `worker`: scheduled runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import (
    DEFAULT_HOME,
    AnyConfigOption,
    HomeOption,
    JsonOption,
    SetOption,
    SourcesArgument,
    chosen_config,
    emit,
    print_table,
    require_sources,
    warn,
)

if TYPE_CHECKING:
    from prefect import Flow

    from flows.deployment.deployments import DeploymentSpec

PoolOption = Annotated[
    str, typer.Option("--pool", metavar="NAME", help="Prefect work pool; created if missing.")
]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        metavar="PORT", min=1, max=65535, help="Answer /metrics for Prometheus on this port; default: off."
    ),
]
MetricsHostOption = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Address of --metrics-port; others than this machine: 0.0.0.0.")
]
NameOption = Annotated[
    str | None, typer.Option("--name", help="Name of the deployments; default: the config's.")
]


def serve(
    sources: SourcesArgument = None,
    config: AnyConfigOption = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    name: NameOption = None,
    metrics_port: MetricsPortOption = None,
    metrics_host: MetricsHostOption = "127.0.0.1",
) -> None:
    """Run the flows on this machine, by the config's `schedules` or from Prefect's UI, until Ctrl-C."""
    spec = _specify(sources, config, changes, name=name, home=home.expanduser().resolve())
    from flows.deployment.serve import serve_flows
    from tasks.observability.metrics import metrics_server

    _warn_of_missing(spec.sources, "each run reports it as failed until it exists")
    with metrics_server(lambda: [spec.home], host=metrics_host, port=metrics_port):
        serve_flows(spec)


def deploy(
    pool: PoolOption,
    sources: SourcesArgument = None,
    config: AnyConfigOption = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register the flows for the workers of a pool; run it again to change them."""
    spec = _specify(sources, config, changes, name=name, home=home)
    from flows.deployment.deploy import deploy_flows

    deployed = deploy_flows(spec, pool=pool)
    _warn_of_missing(
        spec.sources, "the workers must find it under this path; otherwise deploy with another path"
    )

    def show() -> None:
        print_table(("deployment", "starts"), ((one.name, one.starts) for one in deployed))
        typer.echo(f"\nnext, on each machine that shall run them: `maskmill worker --pool {pool}`")

    emit(deployed, show, as_json=as_json)


def worker(
    pool: PoolOption,
    name: Annotated[
        str | None, typer.Option("--name", help="Worker name in Prefect; default: host and process id.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Concurrent runs; default: no limit.", min=1)] = None,
    healthcheck: Annotated[
        bool,
        typer.Option("--with-healthcheck", help="Answer /health on PREFECT_WORKER_WEBSERVER_PORT."),
    ] = False,
    metrics_port: MetricsPortOption = None,
    metrics_host: MetricsHostOption = "127.0.0.1",
) -> None:
    """Execute the runs of a pool until Ctrl-C. Finished shards are kept; another worker continues."""
    from flows.deployment.worker import PoolHomes, work
    from tasks.observability.metrics import metrics_server

    with metrics_server(PoolHomes(pool), host=metrics_host, port=metrics_port):
        work(pool, name=name, limit=limit, healthcheck=healthcheck)


def _warn_of_missing(sources: list[str], consequence: str) -> None:
    """Warn of paths that do not exist; not an error: the disk may be mounted later, or only on the workers."""
    from labeling.sources.expand import is_missing_path

    for spec in filter(is_missing_path, sources):
        path = Path(spec.strip()).expanduser().absolute()
        warn(f"source {path} does not exist on this machine; {consequence}")


def _specify(
    sources: list[str] | None, config: str | None, changes: list[str] | None, *, name: str | None, home: Path
) -> "DeploymentSpec":
    from configs.load import load_config

    sources = require_sources(sources)
    config = chosen_config(config)
    run_config = load_config(config, changes or [])
    from flows.deployment.deployments import DeploymentSpec

    return DeploymentSpec(
        sources=sources,
        config=run_config,
        name=name or Path(config).stem,
        home=home,
        flows=scheduled_flows(),
    )


def scheduled_flows() -> "dict[str, Flow[..., Any]]":
    """Return the flows that can be scheduled, by their key in the config's `schedules`."""
    from flows.circle import run_circle
    from flows.export import export_dataset
    from flows.garbage import collect_garbage_flow
    from flows.generate import generate_dataset
    from flows.label import label_shards
    from flows.recover import recover
    from flows.review import pull_reviews, push_reviews
    from flows.students import promote_student_flow

    return {
        "generate": generate_dataset,
        "label": label_shards,
        "push": push_reviews,
        "pull": pull_reviews,
        "export": export_dataset,
        "recover": recover,
        "gc": collect_garbage_flow,
        "circle": run_circle,
        "promote": promote_student_flow,
    }
