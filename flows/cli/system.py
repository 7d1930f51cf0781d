"""The installation itself: `maskmill models`, `db`, `reap` and `doctor`."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import Commands, HomeOption, JsonOption, SetOption, print_json, print_table

DEFAULT_HOME = Path(".maskmill")
WeightsOption = Annotated[
    Path | None, typer.Option("--weights-dir", help="Folder to look in before the cache.")
]

models_app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Weights of the networks that maskmill knows."
)
db_app = typer.Typer(cls=Commands, no_args_is_help=True, help="The database's schema.")


@models_app.command("list")
def list_models(weights_dir: WeightsOption = None, as_json: JsonOption = False) -> None:
    """Which weights there are, and where they were found."""
    from labeling.segmenters.weights import list_weights

    rows = list_weights(weights_dir)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("model", "kind", "file", "license", "found"),
        ((r.name, r.kind, r.file, r.license, r.found or "missing") for r in rows),
    )


@models_app.command("fetch")
def fetch_models(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="As `models list` names them, or presets.")
    ],
    weights_dir: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch weights into the cache, checked by SHA-256; of a preset, all that it wants."""
    from configs.load import PRESETS, load_config
    from labeling.segmenters.weights import fetch_weights, needed_weights

    wanted = {name: needed_weights(load_config(name)) if name in PRESETS else [name] for name in names}
    singles = dict.fromkeys(chain.from_iterable(wanted.values()))
    fetched = {single: fetch_weights(single, weights_dir) for single in singles}
    if as_json:
        print_json(fetched)
        return
    for name, path in fetched.items():
        typer.echo(f"{name}: {path}")
    for preset in (name for name, weights in wanted.items() if not weights):
        typer.echo(f"{preset}: needs no weights")


@db_app.command("upgrade")
def upgrade(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Migrate the database to this version's schema."""
    from db.connection.schema import upgrade_schema
    from flows.home import existing_home
    from tasks.execution.database import database_url

    before, after = upgrade_schema(database_url(existing_home(home)))
    if as_json:
        print_json({"before": before, "after": after})
    else:
        typer.echo(
            f"schema {before or 'none'} -> {after}" if before != after else f"schema {after}: up to date"
        )


def reap(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Free what died runs were working on, and mark them as crashed in Prefect."""
    from flows.home import existing_home
    from tasks.execution.leases import bury_the_dead

    buried = bury_the_dead(existing_home(home))
    if as_json:
        print_json(buried)
        return
    for one in buried:
        typer.echo(f"{one.place} had died; {one.shards} shards are free for the next run")
    if not buried:
        typer.echo("nobody died")


def doctor(
    config: Annotated[
        str, typer.Option("--config", metavar="NAME|FILE", help="Check this config's models.")
    ] = "default",
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """What works here, and what is missing."""
    from configs.load import load_config
    from tasks.doctor import run_checks

    if home.expanduser().is_file():
        raise ConfigError(f"--home {home} is a file: name a folder")
    findings = run_checks(load_config(config, changes or []), home.expanduser().resolve())
    if as_json:
        print_json(findings)
        return
    print_table(("", "what", "finding"), (("ok" if f.ok else "--", f.what, f.finding) for f in findings))


def gc(
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="Files at least so old.")
    ] = 1.0,
    runs_older_than: Annotated[
        float, typer.Option(metavar="DAYS", min=0, help="Superseded runs not worked on for so long.")
    ] = 30.0,
    run: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="This run's predictions, superseded or not.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Take it away; otherwise it is only told.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """What nothing needs any more: images that no run refers to, predictions of superseded runs."""
    from flows.home import existing_context
    from tasks.garbage import Ages, collect_garbage

    found = collect_garbage(existing_context(home), Ages(older_than, runs_older_than), run=run, delete=delete)
    if as_json:
        print_json(found)
        return
    for gone in found.runs:
        typer.echo(f"run {gone.id} ({gone.name}): {gone.instances} instances on {gone.frames} frames")
    for name in found.files:
        typer.echo(name)
    files = found.images + found.unfinished
    if files > len(found.files):
        typer.echo(f"... and {files - len(found.files)} more")
    done = "deleted" if found.deleted else "to be deleted (--delete does it)"
    typer.echo(
        f"{files} files with {found.bytes / 1e6:.1f} MB, predictions of {len(found.runs)} runs: {done}"
    )
