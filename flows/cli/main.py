"""The command line. Nothing heavy is imported before it is used: `--help` answers at once."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError
from flows.cli import browse as browse_commands
from flows.cli import calibrate as calibrate_commands
from flows.cli import evaluate as evaluate_commands
from flows.cli import export as export_commands
from flows.cli import review as review_commands
from flows.cli import services as service_commands
from flows.cli import system as system_commands
from flows.cli.console import (
    NO_SOURCES,
    Commands,
    ConfigOption,
    Exit,
    HomeOption,
    JsonOption,
    RunOption,
    SetOption,
    SourcesArgument,
    print_failures,
    print_json,
    print_table,
)
from labeling.errors import Interrupted, SourceNotFound

if TYPE_CHECKING:
    from configs.models import RunConfig
    from db.runs.queries import RunSummary

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Mine video for the frames a segmentation model gets wrong; make a COCO dataset of them.",
)
app.add_typer(export_commands.app, name="export")
app.add_typer(review_commands.app, name="review")
app.add_typer(system_commands.models_app, name="models")
app.add_typer(system_commands.db_app, name="db")
app.command("doctor")(system_commands.doctor)
app.command("gc")(system_commands.gc)
app.command("reap")(system_commands.reap)
app.command("runs")(browse_commands.runs)
app.command("frames")(browse_commands.frames)
app.command("show")(browse_commands.show)
app.command("report")(browse_commands.report)
app.command("evaluate")(evaluate_commands.evaluate)
app.command("calibrate")(calibrate_commands.calibrate)
app.command("serve")(service_commands.serve)
app.command("deploy")(service_commands.deploy)
app.command("worker")(service_commands.worker)

DEFAULT_HOME = Path(".maskmill")
WATCHED = ("serve", "worker")
"""Their runs are watched in Prefect's UI, where only what is logged can be read."""


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("maskmill"))
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # Prefect reads these when it is imported; what the user has set stays
    for name, value in {
        "PREFECT_LOGGING_LEVEL": "INFO" if context.invoked_subcommand in WATCHED else "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "1",
    }.items():
        os.environ.setdefault(name, value)


@app.command()
def run(
    sources: SourcesArgument = None,
    config: ConfigOption = "default",
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try what failed in this run again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find hard frames in videos and label them. The same command again goes on where it stopped."""
    from configs.load import load_config
    from labeling.sources.expand import is_missing_path
    from labeling.sources.url_policy import refuse_passwords

    run_config = load_config(config, changes or [])
    specs = list(sources or [])
    if not (specs or retry_failed):
        raise ConfigError(NO_SOURCES)
    refuse_passwords(specs)
    if not retry_failed and all(
        map(is_missing_path, specs)
    ):  # before the seconds that Prefect takes to start
        raise SourceNotFound(
            f"no file or folder {', '.join(specs)}: check the path and the working directory"
        )
    summary = _generate(specs, run_config, config, home, show_progress=not as_json, retry_failed=retry_failed)
    if not (as_json or summary.shards_worked or summary.failures):
        typer.echo("nothing to do: every shard of these sources was done before")
    _print_summary(summary, as_json=as_json)
    if summary.failures:
        raise typer.Exit(Exit.NOTHING_READ if summary.nothing_was_read else Exit.SOURCES_FAILED)


@app.command()
def status(home: HomeOption = DEFAULT_HOME, run: RunOption = None, as_json: JsonOption = False) -> None:
    """What the last run did, what is left to do, and what people said about it."""
    from db.review.summary import summarize_reviews
    from db.runs.queries import latest_run, summarize_run
    from flows.home import existing_context
    from tasks.review.summary import review_rows

    with existing_context(home).database.session() as session:
        row = latest_run(session, run)
        summary, reviews = summarize_run(session, row), summarize_reviews(session, row)
    if as_json:
        print_json(asdict(summary) | {"reviews": asdict(reviews)})
        return
    _print_summary(summary, as_json=False)
    if rows := list(review_rows(reviews)):
        typer.echo("")
        print_table(("review", ""), rows)


@app.command()
def demo(
    home: HomeOption = Path("maskmill-demo"),
    seconds: Annotated[float, typer.Option(help="Length of the rendered scene.", min=4, max=600)] = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Render a scene, run the `offline` preset on it, write a COCO dataset and a report."""
    from flows.cli.demo import make_demo

    made = make_demo(home, seconds=seconds, generate=_generate, quiet=as_json)
    if as_json:
        print_json(made)
        return
    _print_summary(made.summary, as_json=False)
    typer.echo(f"\nvideo    {made.video}\ndataset  {made.coco}\nreport   {made.report}")


def _generate(
    specs: list[str],
    config: "RunConfig",
    name: str,
    home: Path,
    *,
    show_progress: bool,
    retry_failed: bool = False,
) -> "RunSummary":
    """Call the flow in this process, with a progress bar."""
    from prefect.exceptions import CancelledRun

    from flows.cli.interrupt import exit_on_sigint
    from flows.cli.progress import watch_progress
    from flows.cli.temporary_server import temporary_server
    from flows.generate import generate_dataset
    from tasks.observability.final_state import NoSourceReadable

    try:
        with (
            temporary_server(),
            exit_on_sigint(),
            watch_progress(home, config.run_id(), enabled=show_progress),
        ):
            return generate_dataset(specs, config, name=Path(name).stem, home=home, retry_failed=retry_failed)
    except NoSourceReadable as error:
        return error.summary
    except CancelledRun as exc:
        raise Interrupted("the run was cancelled; the same command again goes on") from exc


def _print_summary(summary: "RunSummary", *, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    from tasks.report import sentence_of

    typer.echo(f"run {summary.run_id} ({summary.name})")
    if summary.counts:
        typer.echo(sentence_of(summary) + "\n")
        print_table(("frames", ""), summary.counts.items())
        typer.echo("")
        print_table(("stage", "seconds"), ((name, f"{s:.1f}") for name, s in summary.seconds.items()))
    else:
        typer.echo(sentence_of(summary))
    if summary.shards_pending:
        typer.echo(f"\n{summary.shards_pending} shards are left: run the same command again")
    if summary.failures:
        typer.echo("")
    print_failures(summary.failures)


if __name__ == "__main__":
    app()
