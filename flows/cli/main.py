"""The command line. Heavy modules are imported inside the commands, so that `--help` answers at once."""

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.environment import set_prefect_defaults
from configs.errors import Interrupted, NoRunYet, SourceNotFound
from flows.cli import audit as audit_command
from flows.cli import browse, dataset, export, review, services, student, system, train
from flows.cli import calibrate as calibrate_command
from flows.cli import config as config_command
from flows.cli import decide as decide_command
from flows.cli import evaluate as evaluate_command
from flows.cli import matte as matte_command
from flows.cli import synthesize as synthesize_command
from flows.cli import track as track_command
from flows.cli import try_image as try_command
from flows.cli import web as web_command
from flows.cli.console import (
    DEFAULT_HOME,
    AnyConfigOption,
    Commands,
    Exit,
    HomeOption,
    JsonOption,
    RunOption,
    SetOption,
    SourcesArgument,
    chosen_config,
    emit,
    format_cell,
    print_json,
    print_passed_over,
    print_table,
    require_sources,
    warn,
)
from flows.cli.next_steps import next_after_run, print_next
from flows.cli.summary import print_latest, print_near_identical, print_nothing_read, print_summary
from flows.cli.times import TimeOption

if TYPE_CHECKING:
    from configs.models import RunConfig
    from db.runs.queries import RunSummary
    from flows.cli.working import Update

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Mine video for the frames a segmentation model gets wrong, and build a COCO dataset from them.",
)
LONG_RUNNING = ("serve", "worker")
"""Commands whose log is shown, because their runs are followed in Prefect's UI and in the log only."""


def _show_version(requested: bool) -> None:
    if requested:
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
    set_prefect_defaults(logging_level="INFO" if context.invoked_subcommand in LONG_RUNNING else "CRITICAL")


@app.command()
def run(
    sources: SourcesArgument = None,
    config: AnyConfigOption = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also retry what failed earlier in this run.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be read, and an estimate of the time.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find and label the hard frames of videos. The same command again continues an interrupted run."""
    from configs.load import load_config
    from configs.shipped import unused_calibration
    from flows.home import with_promoted_student
    from labeling.segmenters.licenses import require_licenses
    from labeling.segmenters.requirements import require_parts
    from labeling.sources.expand import is_missing_path

    config = chosen_config(config)
    run_config = load_config(config, changes or [])
    specs = [] if retry_failed and not sources else require_sources(sources)
    if not retry_failed and all(
        map(is_missing_path, specs)
    ):  # before the seconds that Prefect takes to start
        raise SourceNotFound(
            f"no file or folder {', '.join(specs)}: check the path and the working directory"
        )
    run_config = with_promoted_student(run_config, home)
    if dry_run:
        _preview(specs, run_config, home, as_json=as_json)
        return
    require_parts(run_config)
    require_licenses(run_config)
    if warning := unused_calibration(run_config):
        warn(warning)
    latest = _latest_run(home)
    summary = _generate(specs, run_config, config, home, show_progress=not as_json, retry_failed=retry_failed)
    if as_json:
        print_summary(summary, as_json=True)
    elif summary.nothing_was_read:
        print_nothing_read(summary)
        print_latest(summary, latest)
    else:
        if not (summary.shards_worked or summary.failures):
            typer.echo("nothing to do: every shard of these sources is already done")
        print_summary(summary, as_json=False)
        if not summary.shards_worked:
            print_latest(summary, latest)
        print_near_identical(home, summary)
        print_next(*next_after_run(summary.counts, home))
    if summary.failures:
        raise typer.Exit(Exit.NOTHING_READ if summary.nothing_was_read else Exit.SOURCES_FAILED)


def _latest_run(home: Path) -> str | None:
    """Return the run that commands without `--run` mean now; None: there is none yet."""
    from db.runs.queries import latest_run
    from labeling.storage.home import Home
    from tasks.execution.context import has_database, open_context

    root = Home(home.expanduser().resolve())
    if not has_database(root):
        return None
    with suppress(NoRunYet), open_context(root).database.session() as session:
        return latest_run(session).id
    return None


def _preview(specs: list[str], config: "RunConfig", home: Path, *, as_json: bool) -> None:
    from labeling.storage.home import Home
    from labeling.text.figures import count_of, duration
    from tasks.preview import preview_run

    preview = preview_run(specs, config, Home(home.expanduser().resolve()))

    def show() -> None:
        rows = [
            (
                one.spec,
                "-" if one.duration_s is None else duration(round(one.duration_s)),
                format_cell(one.frames),
                one.note,
            )
            for one in preview.sources
        ]
        print_table(("source", "duration", "frames to sample", ""), rows)
        print_passed_over(preview.passed_over)
        time = "unknown: no earlier run of this home has these models"
        if preview.seconds is not None:
            time = f"about {duration(round(preview.seconds))}, at the rate of earlier runs"
        typer.echo(
            f"\n{count_of(preview.frames, 'frame')} at most; time: {time}\nnothing was read or written"
        )

    emit(preview, show, as_json=as_json)
    failed = sum(one.has_failed for one in preview.sources)
    if failed:
        raise typer.Exit(Exit.NOTHING_READ if failed == len(preview.sources) else Exit.SOURCES_FAILED)


@app.command()
def status(home: HomeOption = DEFAULT_HOME, run: RunOption = None, as_json: JsonOption = False) -> None:
    """Show what a run found, what is left to do, the results of its review, and what each promoted student cost and gained."""
    from db.review.summary import summarize_reviews
    from db.runs.queries import latest_run, summarize_run
    from db.students.rounds import list_rounds
    from flows.home import existing_context
    from tasks.browse import run_settings
    from tasks.review.summary import review_rows
    from tasks.students.rounds import ROUND_COLUMNS, round_rows

    with existing_context(home).database.session() as session:
        row = latest_run(session, run)
        summary, reviews = summarize_run(session, row), summarize_reviews(session, row)
        rounds, settings = list_rounds(session), run_settings(session, row)
    if as_json:
        print_json(
            asdict(summary) | {"settings": asdict(settings), "reviews": asdict(reviews), "rounds": rounds}
        )
        return
    print_summary(summary, as_json=False, settings=str(settings))
    if rows := list(review_rows(reviews)):
        typer.echo("")
        print_table(("review", ""), rows)
    if rounds:
        typer.echo("")
        print_table(ROUND_COLUMNS, round_rows(rounds))


@app.command()
def demo(
    home: HomeOption = Path("maskmill-demo"),
    seconds: Annotated[float, TimeOption("Length of the rendered scene.", low=4, high=600)] = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Render a scene, run the `offline` preset on it, write a COCO dataset and a report."""
    from flows.cli.demo import make_demo

    made = make_demo(home, seconds=seconds, generate=_generate, quiet=as_json)

    def show() -> None:
        print_summary(made.summary, as_json=False)
        typer.echo(f"\nvideo    {made.video}\ndataset  {made.coco}\nreport   {made.report}")
        typer.echo(made.exported)
        print_next(f"maskmill open --home {home}", "maskmill run YOUR_VIDEO")

    emit(made, show, as_json=as_json)


def _generate(
    specs: list[str],
    config: "RunConfig",
    name: str,
    home: Path,
    *,
    show_progress: bool,
    retry_failed: bool = False,
) -> "RunSummary":
    """Call the flow in this process and show its progress."""
    from flows.cli.working import working

    with working("starting", enabled=show_progress) as update:
        return _call_flow(specs, config, name, home, update, retry_failed=retry_failed)


def _call_flow(
    specs: list[str], config: "RunConfig", name: str, home: Path, update: "Update", *, retry_failed: bool
) -> "RunSummary":
    from prefect.exceptions import CancelledRun

    from flows.cli.progress import watch_progress
    from flows.cli.temporary_server import exit_on_sigint, temporary_server
    from labeling.storage.home import Home
    from tasks.begin import repeat_finished_run
    from tasks.observability.final_state import NoSourceReadable

    if specs and not retry_failed:
        root = Home(home.expanduser().resolve())
        if summary := repeat_finished_run(root, specs, config, Path(name).stem):
            return summary
    from flows.generate import generate_dataset

    try:
        with (
            exit_on_sigint(),
            temporary_server(),
            watch_progress(home, config.run_id(), update),
        ):
            return generate_dataset(specs, config, name=Path(name).stem, home=home, retry_failed=retry_failed)
    except NoSourceReadable as error:
        return error.summary
    except CancelledRun as exc:
        raise Interrupted("the run was cancelled; run the same command again to continue it") from exc


for command in (
    *(matte_command.matte, track_command.track, synthesize_command.synthesize),
    *(decide_command.decide, browse.frames, browse.show, browse.report),
    *(evaluate_command.evaluate, calibrate_command.calibrate, audit_command.audit),
    *(services.serve, services.deploy, services.worker, web_command.web),
    *(system.doctor, system.recover, system.gc),
):
    app.command(command.__name__)(command)
app.command("try")(try_command.try_image)
app.command("open")(browse.open_report)
app.add_typer(browse.runs_app, name="runs")
app.add_typer(config_command.app, name="config")
app.add_typer(export.app, name="export")
app.add_typer(dataset.app, name="dataset")
app.add_typer(review.app, name="review")
app.add_typer(train.app, name="train")
app.add_typer(student.app, name="student")
app.add_typer(system.models_app, name="models")
app.add_typer(system.db_app, name="db")


if __name__ == "__main__":
    app()
