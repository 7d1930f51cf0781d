"""`maskmill serve`, `deploy` and `worker`: runs that start by themselves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import (
    NO_SOURCES,
    ConfigOption,
    HomeOption,
    JsonOption,
    SetOption,
    SourcesArgument,
    print_json,
    print_table,
    warn,
)

if TYPE_CHECKING:
    from configs.models import RunConfig

DEFAULT_HOME = Path(".maskmill")
PoolOption = Annotated[
    str, typer.Option("--pool", metavar="NAME", help="Prefect's work pool; made when there is none.")
]
NameOption = Annotated[
    str | None, typer.Option("--name", help="What the deployments are called; default: as the config.")
]


def serve(
    sources: SourcesArgument = None,
    config: ConfigOption = "default",
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    name: NameOption = None,
) -> None:
    """Run all flows as the config's `schedules` say, or from Prefect's UI, on this machine until Ctrl-C."""
    specs, run_config = _read(sources, config, changes)
    from flows.deployment.deployments import DeploymentSpec
    from flows.deployment.serve import serve_flows

    _warn_of_missing(specs, "until something is, each start lists it as failed")
    root = home.expanduser().resolve()
    serve_flows(DeploymentSpec(sources=specs, config=run_config, name=name or Path(config).stem, home=root))


def deploy(
    pool: PoolOption,
    sources: SourcesArgument = None,
    config: ConfigOption = "default",
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a pool's workers run all flows as the config's `schedules` say. Again: changes what was deployed."""
    specs, run_config = _read(sources, config, changes)
    from flows.deployment.deploy import deploy_flows

    deployed = deploy_flows(specs, run_config, name=name or Path(config).stem, home=home, pool=pool)
    _warn_of_missing(
        specs, "the workers must find it by this path; if they do not either, deploy another one"
    )
    if as_json:
        print_json(deployed)
        return
    print_table(("deployment", "starts"), ((one.name, one.starts) for one in deployed))
    typer.echo(f"\nnext, wherever they are to run: `maskmill worker --pool {pool}`")


def worker(
    pool: PoolOption,
    name: Annotated[
        str | None, typer.Option("--name", help="What Prefect calls this worker; default: host and process.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Runs at once; default: no limit.", min=1)] = None,
    healthcheck: Annotated[
        bool,
        typer.Option("--with-healthcheck", help="Answer /health on Prefect's PREFECT_WORKER_WEBSERVER_PORT."),
    ] = False,
) -> None:
    """Work on the runs of a pool, until Ctrl-C. What is done is kept; another worker goes on from there."""
    from flows.deployment.worker import work

    work(pool, name=name, limit=limit, healthcheck=healthcheck)


def _warn_of_missing(sources: list[str], outlook: str) -> None:
    """Name the paths where nothing is, which need be no mistake: a disk may not be mounted here, or not yet."""
    from labeling.sources.expand import is_missing_path

    for spec in filter(is_missing_path, sources):
        warn(
            f"source {Path(spec.strip()).expanduser().absolute()}: nothing is there on this machine; {outlook}"
        )


def _read(sources: list[str] | None, config: str, changes: list[str] | None) -> "tuple[list[str], RunConfig]":
    from configs.load import load_config
    from labeling.sources.url_policy import refuse_passwords

    run_config = load_config(config, changes or [])
    if not sources:
        raise ConfigError(NO_SOURCES)
    refuse_passwords(sources)
    return sources, run_config
