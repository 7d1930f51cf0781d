"""`maskmill models`, `db`, `recover`, `doctor` and `gc`: the installation and the home."""

from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import (
    DEFAULT_HOME,
    AnyConfigOption,
    Commands,
    Exit,
    HomeOption,
    JsonOption,
    SetOption,
    chosen_config,
    emit,
    print_table,
)

WeightsOption = Annotated[
    Path | None, typer.Option("--weights-dir", help="Folder to search before the cache.")
]

_MARK_STYLES = {"ok": "green", "warn": "yellow", "FAIL": "bold red", "--": "dim"}

models_app = typer.Typer(cls=Commands, no_args_is_help=True, help="Weights of the built-in networks.")
db_app = typer.Typer(cls=Commands, no_args_is_help=True, help="The database schema.")


@models_app.command("list")
def list_models(weights_dir: WeightsOption = None, as_json: JsonOption = False) -> None:
    """List the known weights and where they were found."""
    from labeling.segmenters.weights import list_weights

    keys = ("name", "kind", "file", "sha256", "license")
    rows = [
        {key: getattr(known, key) for key in keys} | {"found": found}
        for known, found in list_weights(weights_dir)
    ]
    table = [
        (row["name"], row["kind"], row["file"], row["license"], row["found"] or "missing") for row in rows
    ]
    columns = ("model", "kind", "file", "license", "found")
    emit(rows, lambda: print_table(columns, table), as_json=as_json)


@models_app.command("fetch")
def fetch_models(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names from `models list`, or presets.")
    ],
    weights_dir: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download weights into the cache and check their SHA-256; a preset stands for all it requires."""
    from configs.load import load_config
    from configs.trees import PRESETS
    from labeling.segmenters.requirements import find_hub_models
    from labeling.segmenters.weights import find_weights, needed_weights

    presets = {name: load_config(name) for name in names if name in PRESETS}
    requested = {name: needed_weights(presets[name]) if name in presets else [name] for name in names}
    models = dict.fromkeys(chain.from_iterable(requested.values()))
    fetched = {model: find_weights(model, weights_dir) for model in models}
    fetched |= {found.name: found.path for config in presets.values() for found in find_hub_models(config)}

    def show() -> None:
        for model, path in fetched.items():
            typer.echo(f"{model}: {path}")
        for preset in (name for name, weights in requested.items() if not weights):
            typer.echo(f"{preset}: requires no weights")

    emit(fetched, show, as_json=as_json)


@db_app.command("upgrade")
def upgrade(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Migrate the database to the schema of this version."""
    from db.connection.schema import upgrade_schema
    from flows.home import existing_home
    from tasks.execution.context import database_url

    before, after = upgrade_schema(database_url(existing_home(home)))
    text = f"schema {before or 'none'} -> {after}" if before != after else f"schema {after}: up to date"
    emit({"before": before, "after": after}, lambda: typer.echo(text), as_json=as_json)


def recover(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Free the shards of runs whose process is gone, and set those runs to Crashed in Prefect."""
    from flows.deployment.recovery import recover_now
    from flows.home import existing_home
    from labeling.text.figures import count_of

    expired = recover_now(existing_home(home))

    def show() -> None:
        for lease in expired:
            typer.echo(f"{lease.host} has crashed; {count_of(lease.shards, 'shard')} left to the next run")
        if not expired:
            typer.echo("no run has crashed")

    emit(expired, show, as_json=as_json)


def doctor(
    config: AnyConfigOption = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Check what works on this machine and what is missing. The exit code is 1 if the config cannot run."""
    from configs.load import load_config
    from flows.home import with_promoted_student
    from tasks.doctor import run_checks, verdict

    if home.expanduser().is_file():
        raise ConfigError(f"--home {home} is a file: name a folder")
    name = chosen_config(config)
    run_config = with_promoted_student(load_config(name, changes or []), home)
    checks = run_checks(run_config, home.expanduser().resolve())
    table = [(check.mark, check.what, check.finding) for check in checks]

    def show() -> None:
        print_table(("", "check", "result"), table, styles=_MARK_STYLES)
        typer.echo("")
        failed = any(check.is_failure for check in checks)
        typer.secho(verdict(checks, name), bold=True, fg=typer.colors.RED if failed else typer.colors.GREEN)

    emit([asdict(check) | {"mark": check.mark} for check in checks], show, as_json=as_json)
    if any(check.is_failure for check in checks):
        raise typer.Exit(Exit.STOPPED)


def gc(
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="Minimum age of files.")
    ] = 1.0,
    runs_older_than: Annotated[
        float, typer.Option(metavar="DAYS", min=0, help="Minimum idle time of superseded runs.")
    ] = 30.0,
    retention: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS",
            min=0,
            help="Also of runs that no later one replaced and that are idle for so long; reviewed runs and images of dataset versions stay.",
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="Predictions of this run, superseded or not.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete; without it, only list what would be deleted.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """List or delete unused data: images no run refers to, predictions of superseded runs."""
    from flows.home import existing_context
    from labeling.text.figures import count_of
    from tasks.garbage import Ages, collect_garbage

    found = collect_garbage(
        existing_context(home), Ages(older_than, runs_older_than, retention), run=run, delete=delete
    )

    def show() -> None:
        for old in found.runs:
            typer.echo(
                f"run {old.id} ({old.name}): {count_of(old.instances, 'instance')} on {count_of(old.frames, 'frame')}"
            )
        for name in found.files:
            typer.echo(name)
        files = found.images + found.predictions + found.unfinished
        if files > len(found.files):
            typer.echo(f"... and {files - len(found.files)} more")
        done = "deleted" if found.deleted else "would be deleted; add --delete"
        size = f"{found.bytes / 1e6:.1f} MB"
        typer.echo(
            f"{count_of(files, 'file')} ({size}) and the predictions of {count_of(len(found.runs), 'run')}: {done}"
        )

    emit(found, show, as_json=as_json)
