"""`maskmill review`: people in the loop, through Label Studio."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import (
    Commands,
    Exit,
    HomeOption,
    JsonOption,
    RunOption,
    SetOption,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from configs.models import Review as Settings
    from tasks.review.pull import PullSummary
    from tasks.review.push import PushSummary

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Frames to people in Label Studio, and their corrections back."
)
DEFAULT_HOME = Path(".maskmill")
ACCESS_NOTE = "password and token are in {path}, which only you can read"


@app.command()
def up(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[int | None, typer.Option(help="Default: as last time, or 8080, or any.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Start this home's own Label Studio, for this machine only. The first time, it is installed."""
    from flows.home import existing_home
    from labeling.review.label_studio.credentials import credentials_file
    from labeling.review.label_studio.install import find_environment
    from labeling.review.label_studio.local_server import LocalLabelStudio

    root = existing_home(home).root
    if find_environment() is None and not as_json:
        typer.echo("installing Label Studio, once: a few minutes and 1 GB", err=True)
    access = LocalLabelStudio(root).up(port)
    if as_json:
        print_json({"url": access.url, "email": access.email, "credentials_file": credentials_file(root)})
        return
    typer.echo(f"Label Studio runs at {access.url}")
    typer.echo(f"log in as {access.email}; {ACCESS_NOTE.format(path=credentials_file(root))}")
    typer.echo("next: `maskmill review push` sends the frames that wait for review")


@app.command()
def down(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Stop this home's own Label Studio; what people said stays in it."""
    from flows.home import existing_home
    from labeling.review.label_studio.local_server import LocalLabelStudio

    stopped = LocalLabelStudio(existing_home(home).root).down()
    if as_json:
        print_json({"stopped": stopped})
    else:
        typer.echo("Label Studio was stopped" if stopped else "Label Studio was not running")


@app.command()
def status(home: HomeOption = DEFAULT_HOME, run: RunOption = None, as_json: JsonOption = False) -> None:
    """Where the frames of a run are, what people said, and what that says about the models."""
    from db.review.summary import summarize_reviews
    from db.runs.queries import latest_run
    from flows.home import existing_context, existing_home
    from labeling.review.label_studio.local_server import LocalLabelStudio
    from tasks.review.summary import review_rows

    studio = LocalLabelStudio(existing_home(home).root).status()
    with existing_context(home).database.session() as session:
        row = latest_run(session, run)
        summary = summarize_reviews(session, row)
    if as_json:
        url = studio.access.url if studio.access else None
        print_json({"run_id": row.id, "studio": {"running": studio.running, "url": url}, "reviews": summary})
        return
    if studio.access:
        typer.echo(
            f"Label Studio of this home: {studio.access.url}, {_say_state(studio.running, studio.answers)}"
        )
    rows = list(review_rows(summary))
    typer.echo(f"run {row.id} ({row.name})" + ("" if rows else ": nothing was sent for review yet"))
    print_table(("", ""), rows)


def _say_state(running: bool, answers: bool) -> str:
    if not running:
        return "stopped: `maskmill review up` starts it"
    return "running" if answers else "running, and not answering yet"


@app.command()
def push(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    changes: SetOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also frames whose task somebody deleted in Label Studio.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send the frames that wait for review, the most valuable first. The same command again sends what is new."""
    from flows.cli.interrupt import exit_on_sigint
    from flows.home import existing_home
    from flows.review import push_reviews

    root = existing_home(home).root
    settings = _settings(home, run, changes or [])
    with exit_on_sigint():
        pushed = push_reviews(root, run or "", settings, again)
    if as_json:
        print_json(pushed)
    else:
        _tell_pushed(pushed)
    if pushed.refused:
        raise typer.Exit(Exit.SOURCES_FAILED)


def _tell_pushed(pushed: "PushSummary") -> None:
    typer.echo(f"{pushed.sent} frames were sent to {pushed.url}")
    said = {
        "were there already: an earlier push was interrupted": pushed.adopted,
        "showed another run's masks and were sent anew": pushed.replaced,
        "were taken back: this run does not want them reviewed": pushed.withdrawn,
        "were deleted in Label Studio: `maskmill review push --again` sends them again": pushed.deleted,
        "wait for room (review.max_open_tasks): push again when some are done": pushed.waiting,
        "were passed over: nearly the same as one that people are asked about": pushed.passed_over.near_identical,
        "were passed over: enough of their shot are sent (review.max_per_shot)": pushed.passed_over.beyond_shot,
        "were passed over: the budget is spent (review.budget)": pushed.passed_over.over_budget,
        "wait for people in another project or on another server; `--again` sends them here too": pushed.elsewhere,
    }
    for what, frames in said.items():
        if frames:
            typer.echo(f"{frames} {what}")
    typer.echo(f"{pushed.open} tasks wait for a person")
    for refused in pushed.refused:
        typer.echo(f"not sent: {refused}")


def _settings(home: Path, run: str | None, changes: list[str]) -> "Settings":
    """A run's own, with changes."""
    from configs.load import change_config
    from db.runs.queries import latest_run
    from flows.home import existing_context

    if wrong := next((change for change in changes if not change.startswith("review.")), None):
        raise ConfigError(f"--set {wrong!r}: only review.* can be changed here; the rest is the run's")
    with existing_context(home).database.session() as session:
        row = latest_run(session, run)
    return change_config(row.config, changes, f"of run {row.id}").review


@app.command()
def pull(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Take over what people said since the last time, and score the models by it."""
    from flows.cli.interrupt import exit_on_sigint
    from flows.home import existing_home
    from flows.review import pull_reviews

    with exit_on_sigint():
        pulled = pull_reviews(existing_home(home).root)
    if as_json:
        print_json(pulled)
    else:
        _tell_pulled(pulled)
    if pulled.problems:
        raise typer.Exit(Exit.SOURCES_FAILED)


@app.command()
def listen(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[int, typer.Option(help="To listen on; 0: any that is free.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    url: Annotated[
        str | None, typer.Option(help="Where Label Studio reaches this; default: host and port.")
    ] = None,
    every_s: Annotated[float, typer.Option(help="Pull at least so often.", min=1)] = 300.0,
) -> None:
    """Pull whenever Label Studio says that something changed (a webhook), until Ctrl-C."""
    from flows.home import existing_home
    from flows.review_listener import listen as keep_listening

    root = existing_home(home).root
    with suppress(KeyboardInterrupt):
        keep_listening(
            root, host=host, port=port, url=url, every_s=every_s, log=typer.echo, report=_tell_pulled
        )


def _tell_pulled(pulled: "PullSummary") -> None:
    typer.echo(f"{pulled.changed} frames have news")
    if not pulled.projects:
        typer.echo("nothing was sent to this Label Studio yet: `maskmill review push`")
    if pulled.deleted:
        typer.echo(
            f"{pulled.deleted} tasks were deleted in Label Studio: `maskmill review push --again` sends "
            "them again"
        )
    for title in pulled.lost:
        typer.echo(
            f"the project {title!r} was deleted in Label Studio, or is hidden from this user: "
            f"{pulled.taken_back} frames wait for a push again"
        )
    for problem in pulled.problems:
        typer.echo(f"not understood: {problem}")
