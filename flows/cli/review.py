"""`maskmill review`: corrections by people, through Label Studio."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import (
    DEFAULT_HOME,
    Commands,
    Exit,
    HomeOption,
    JsonOption,
    RunOption,
    SetOption,
    emit,
    print_json,
    print_table,
)
from flows.cli.times import TimeOption

if TYPE_CHECKING:
    from configs.models import Review as Settings
    from tasks.review.pull import PullSummary
    from tasks.review.push import PushSummary

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Send frames to Label Studio and take the corrections back."
)


@app.command()
def up(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[
        int | None, typer.Option(help="Default: the last one used, else 8080, else any free port.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start this home's own Label Studio, reachable from this machine only. The first start installs it."""
    from flows.cli.working import working
    from flows.home import existing_home
    from labeling.review.label_studio.credentials import credentials_file
    from labeling.review.label_studio.install import find_environment
    from labeling.review.label_studio.local_server import LocalLabelStudio

    root = existing_home(home).root
    is_new = find_environment() is None
    text = "installing Label Studio, once: a few minutes and 1 GB" if is_new else "starting Label Studio"
    with working(text, enabled=not as_json):
        credentials = LocalLabelStudio(root).up(port)
    url, email, file = credentials.url, credentials.email, credentials_file(root)

    def show() -> None:
        typer.echo(f"Label Studio runs at {url}")
        typer.echo(f"log in as {email}; password and token are in {file}, readable only by you")
        typer.echo("next: `maskmill review push` sends the frames that wait for review")

    emit({"url": url, "email": email, "credentials_file": file}, show, as_json=as_json)


@app.command()
def down(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Stop this home's own Label Studio; its annotations are kept."""
    from flows.home import existing_home
    from labeling.review.label_studio.local_server import LocalLabelStudio

    stopped = LocalLabelStudio(existing_home(home).root).down()
    text = "Label Studio was stopped" if stopped else "Label Studio was not running"
    emit({"stopped": stopped}, lambda: typer.echo(text), as_json=as_json)


@app.command()
def status(home: HomeOption = DEFAULT_HOME, run: RunOption = None, as_json: JsonOption = False) -> None:
    """Show the review state of a run's frames, and teacher and student scored by the corrections."""
    from db.review.summary import summarize_reviews
    from db.runs.queries import latest_run
    from flows.home import existing_context, existing_home
    from labeling.review.label_studio.local_server import LocalLabelStudio
    from tasks.review.summary import review_rows

    server = LocalLabelStudio(existing_home(home).root).status()
    with existing_context(home).database.session() as session:
        row = latest_run(session, run)
        summary = summarize_reviews(session, row)
    if as_json:
        url = server.access.url if server.access else None
        local = {"running": server.running, "url": url}
        print_json({"run_id": row.id, "label_studio": local, "reviews": summary})
        return
    if server.access:
        state = _server_state(server.running, server.answers)
        typer.echo(f"Label Studio of this home: {server.access.url}, {state}")
    rows = list(review_rows(summary))
    typer.echo(f"run {row.id} ({row.name})" + ("" if rows else ": nothing was sent for review yet"))
    print_table(("", ""), rows)


def _server_state(running: bool, answers: bool) -> str:
    if not running:
        return "stopped: `maskmill review up` starts it"
    return "running" if answers else "running, but not answering yet"


@app.command()
def push(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    changes: SetOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also send frames whose task was deleted in Label Studio.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send the frames that wait for review, highest priority first. The same command again sends new ones."""
    from flows.cli.working import working
    from flows.home import existing_home

    root = existing_home(home).root
    settings = _settings(home, run, changes or [])
    with working("sending frames to Label Studio", enabled=not as_json):
        _require_answer(root)
        from flows.review import push_reviews
        from tasks.execution.direct import call_flow

        pushed = call_flow(push_reviews, root, run or "", settings, again)
    emit(pushed, lambda: _print_pushed(pushed), as_json=as_json)
    if pushed.refused:
        raise typer.Exit(Exit.SOURCES_FAILED)


def _require_answer(home_root: Path) -> None:
    """Report a Label Studio that does not answer before slow imports; Prefect may know one that is not known here."""
    from labeling.review.label_studio.credentials import known_credentials
    from labeling.review.label_studio.http import require_answer

    if credentials := known_credentials(home_root):
        require_answer(credentials.url)


def _print_pushed(pushed: "PushSummary") -> None:
    from labeling.text.figures import count_of

    typer.echo(f"sent to {pushed.url}: {count_of(pushed.sent, 'frame')}")
    skipped = pushed.passed_over
    counts = {
        "were already there: an earlier push was interrupted": pushed.adopted,
        "showed other masks than now and were sent again": pushed.replaced,
        "need no review: masks carried from reviewed frames agree": pushed.confirmed,
        "were withdrawn: this run does not need them reviewed": pushed.withdrawn,
        "were deleted in Label Studio: `maskmill review push --again` sends them again": pushed.deleted,
        "wait (review.max_open_tasks is reached): push again when some are done": pushed.waiting,
        "were skipped: nearly identical to a frame already sent": skipped.near_identical,
        "were skipped: enough frames of their shot were sent (review.max_per_shot)": skipped.beyond_shot,
        "were skipped: the budget is used up (review.budget)": skipped.over_budget,
        "are in another project or on another server; `--again` sends them here too": pushed.elsewhere,
    }
    for what, frames in counts.items():
        if frames:
            typer.echo(f"{frames} {what}")
    typer.echo(f"waiting for an annotator: {count_of(pushed.open, 'task')}")
    if pushed.planted:
        typer.echo(
            f"with a known answer, of all tasks: {count_of(pushed.planted, 'task')} (annotators cannot tell which)"
        )
    if pushed.unused_truth:
        typer.echo(f"not used of review.planted.truth: {', '.join(pushed.unused_truth)}")
    for refused in pushed.refused:
        typer.echo(f"not sent: {refused}")


def _settings(home: Path, run: str | None, changes: list[str]) -> "Settings":
    """Return the review settings of a run, changed by --set."""
    from configs.load import change_config
    from db.runs.queries import latest_run
    from flows.home import existing_context

    if wrong := next((change for change in changes if not change.startswith("review.")), None):
        raise ConfigError(f"--set {wrong!r}: only review.* can be changed here; the rest belongs to the run")
    with existing_context(home).database.session() as session:
        row = latest_run(session, run)
    return change_config(row.config, changes, f"of run {row.id}").review


@app.command()
def pull(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Fetch the annotations made since the last pull, and score teacher and student by them."""
    from flows.cli.working import working
    from flows.home import existing_home

    root = existing_home(home).root
    with working("reading annotations", enabled=not as_json):
        _require_answer(root)
        from flows.review import pull_reviews
        from tasks.execution.direct import call_flow

        pulled = call_flow(pull_reviews, root)
    emit(pulled, lambda: _print_pulled(pulled), as_json=as_json)
    if pulled.problems:
        raise typer.Exit(Exit.SOURCES_FAILED)


@app.command()
def listen(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free port.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    url: Annotated[
        str | None, typer.Option(help="URL under which Label Studio reaches this; default: host and port.")
    ] = None,
    every_s: Annotated[float, TimeOption("Longest pause between two pulls.", low=1)] = 300.0,
) -> None:
    """Pull whenever a webhook of Label Studio reports a change, until Ctrl-C."""
    from flows.home import existing_home
    from flows.review import pull_reviews
    from tasks.execution.direct import call_flow
    from tasks.review.listen import ListenSettings
    from tasks.review.listen import listen as keep_listening

    root = existing_home(home).root
    settings = ListenSettings(host, port, url, every_s)
    with suppress(KeyboardInterrupt):
        keep_listening(
            root, settings, pull=partial(call_flow, pull_reviews), log=typer.echo, report=_print_pulled
        )


def _print_pulled(pulled: "PullSummary") -> None:
    from labeling.text.figures import count_of

    again = "`maskmill review push --again` sends them again"
    typer.echo(f"new annotations: {count_of(pulled.changed, 'frame')}")
    if not pulled.projects:
        typer.echo("nothing was sent to this Label Studio yet: `maskmill review push`")
    if pulled.propagation.confirmed:
        typer.echo(
            f"no review needed: {count_of(pulled.propagation.confirmed, 'frame')}, carried masks agree with the teacher's"
        )
    if pulled.propagation.carried:
        typer.echo(
            f"carried masks: {count_of(pulled.propagation.carried, 'frame')}; `maskmill review push` shows them"
        )
    for problem in pulled.propagation.problems:
        typer.echo(problem)
    if pulled.deleted:
        typer.echo(f"deleted in Label Studio: {count_of(pulled.deleted, 'task')}; {again}")
    for title in pulled.lost:
        typer.echo(
            f"the project {title!r} was deleted in Label Studio, or this user cannot see it; "
            f"to be pushed again: {count_of(pulled.taken_back, 'frame')}"
        )
    for problem in pulled.problems:
        typer.echo(f"not understood: {problem}")
