"""`maskmill runs`, `frames`, `show` and `report`: what runs found."""

import sys
import webbrowser
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.environment import read_variable
from configs.errors import ConfigError
from flows.cli.console import (
    DEFAULT_HOME,
    Commands,
    HomeOption,
    JsonOption,
    RunOption,
    emit,
    format_cell,
    print_table,
    table_width,
)

if TYPE_CHECKING:
    from tasks.execution.context import Context

_WIDE = 130
_LEFT_OUT = ("people", "expected IoU")
"""Columns of frames that a narrower terminal, in characters, does not show; --json has them."""
HARD = "hard"
"""Both decisions about hard frames."""


class FrameOrder(StrEnum):
    agreement = "agreement"
    time = "time"


def check_decisions(decisions: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the decisions.

    Raises:
        ConfigError: one of them is unknown; the message lists the known ones.
    """
    for decision in decisions:
        if decision not in known:
            raise ConfigError(f"--decision {decision!r} is unknown: use {', '.join(known)}")
    return tuple(decisions)


runs_app = typer.Typer(cls=Commands, help="List the runs of a home, most recent first; `rm` deletes some.")


@runs_app.callback(invoke_without_command=True)
def runs(calling: typer.Context, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    if not calling.invoked_subcommand:
        _list_runs(home, as_json=as_json)


def _list_runs(home: Path, *, as_json: bool) -> None:
    from flows.home import existing_context
    from tasks.browse import list_runs

    with existing_context(home).database.session() as session:
        rows = list_runs(session)
    columns = (
        "run",
        "config",
        "teacher",
        "student",
        "hard below",
        "last worked on (UTC)",
        "",
        "frames",
        "hard",
        "accepted",
        "people",
    )
    table = [
        (
            row.id,
            " ".join((row.name, *row.changes)),
            row.settings.teacher,
            row.settings.student,
            f"{row.settings.hard_below:g}",
            f"{row.worked_at:%Y-%m-%d %H:%M}",
            "finished" if row.finished else "not finished",
            row.sampled,
            row.hard,
            row.accepted,
            row.people,
        )
        for row in rows
    ]
    emit(rows, lambda: print_table(columns, table), as_json=as_json)


@runs_app.command("list")
def list_all(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the runs, as `maskmill runs` alone does."""
    _list_runs(home, as_json=as_json)


@runs_app.command("rm")
def remove(
    run: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run ids or their first digits.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Delete runs that were never reviewed. Images and exported datasets stay: `maskmill gc` finds unused images."""
    from db.runs.queries import latest_run
    from flows.home import existing_context
    from tasks.browse import remove_runs

    context = existing_context(home)
    with context.database.session() as session:
        rows = [latest_run(session, one) for one in run]
    if not (yes or as_json):
        named = ", ".join(f"{row.id} ({row.name})" for row in rows)
        typer.confirm(f"delete {named}?", abort=True)
    removed = remove_runs(context, [row.id for row in rows])
    emit({"removed": removed}, lambda: typer.echo(f"deleted {', '.join(removed)}"), as_json=as_json)


def frames(
    decision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="D", help="rejected, easy, accepted, review, or hard (the last two); repeatable."
        ),
    ] = None,
    order: Annotated[
        FrameOrder, typer.Option(help="Hardest first, or by video and time.")
    ] = FrameOrder.agreement,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of frames.")] = 20,
    person: Annotated[
        str | None,
        typer.Option(metavar="VIDEO:NUMBER", help="Only frames with this person, as in the column `people`."),
    ] = None,
    strip: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="With --person: draw the person over time.")
    ] = None,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """List the frames of a run, hardest first."""
    from db.frames.listing import DECISIONS, FrameQuery, list_frames
    from db.frames.people import find_person
    from db.runs.queries import latest_run
    from flows.home import existing_context
    from labeling.text.figures import clock

    decisions = check_decisions(decision or [], (*DECISIONS, HARD))
    if HARD in decisions:
        decisions = tuple(dict.fromkeys([one for one in decisions if one != HARD] + ["accepted", "review"]))
    if strip is not None and person is None:
        raise ConfigError("--strip draws one person: add --person VIDEO:NUMBER, from the column `people`")
    context = existing_context(home)
    with context.database.session() as session:
        row = latest_run(session, run)
        run_id = row.id
        key = None if person is None else find_person(session, run_id, person)
        by_time = order is FrameOrder.time
        query = FrameQuery(decisions, person=key, order="time" if by_time else "agreement", limit=limit)
        rows = list(list_frames(session, run_id, query))
        if not rows:
            from tasks.browse import explain_no_frames

            typer.echo(explain_no_frames(session, row, decisions), err=True)
    if strip is not None and person is not None:
        from tasks.strips import write_strip

        write_strip(context, run_id, person, strip)
    columns = ("frame", "video", "time", "people", "IoU", "expected IoU", "decision", "why")
    table = [
        (
            row.id,
            row.title,
            row.name if row.pts_ms is None else clock(row.pts_ms),
            join_people(row.people),
            format_cell(row.iou),
            format_cell(row.expected_iou),
            row.decision,
            "; ".join(row.reasons) or row.rule or ", ".join(row.causes),
        )
        for row in rows
    ]
    kept = [n for n, name in enumerate(columns) if table_width() >= _WIDE or name not in _LEFT_OUT]

    def show_table() -> None:
        cells = [[row[n] for n in kept] for row in table]
        print_table([columns[n] for n in kept], cells, whole=("frame", "time", "decision"))

    emit(rows, lambda: show_table() if table else None, as_json=as_json)


def join_people(people: Sequence[str]) -> str:
    """Return people of one frame, their video once.

    >>> join_people(["1f0c:1", "1f0c:23", "1f0c:9"]), join_people([])
    ('1f0c:1,23,9', '')
    """
    video = people[0].partition(":")[0] if people else ""
    numbers = [one.removeprefix(f"{video}:") for one in people]
    return f"{video}:{','.join(numbers)}" if people else ""


def show(
    frame: Annotated[int, typer.Argument(min=0, max=2**53 - 1, help="Frame id from `maskmill frames`.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="PNG file to write.")] = Path("frame.png"),
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Draw teacher, student and their difference side by side."""
    from db.runs.queries import latest_run
    from flows.home import existing_context
    from tasks.browse import draw_frame

    context = existing_context(home)
    with context.database.session() as session:
        run_id = latest_run(session, run).id
    caption = draw_frame(context, run_id, frame, out)
    written = {"frame": frame, "file": out, "caption": caption}
    emit(written, lambda: typer.echo(f"{out}: {caption}"), as_json=as_json)


def open_report(run: RunOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Write the report of a run into the home and open it in the browser; print its path where there is none."""
    from flows.home import existing_context
    from tasks.report import write_report

    context = existing_context(home)
    out = report_file(context, run)
    write_report(context, run, out, hardest=24)
    is_shown = not as_json and has_display() and webbrowser.open(out.as_uri())
    emit({"file": out}, lambda: typer.echo(f"opened {out}" if is_shown else out), as_json=as_json)


def report_file(context: "Context", run: str | None) -> Path:
    """Return where the home keeps the report of a run."""
    from db.runs.queries import latest_run

    with context.database.session() as session:
        return context.home.root / "reports" / f"{latest_run(session, run).id}.html"


def has_display() -> bool:
    """Return whether a browser window can be shown; elsewhere a browser of the terminal would start."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(map(read_variable, ("DISPLAY", "WAYLAND_DISPLAY")))


def report(
    out: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUT.html]",
            help="HTML file to write. Without it: in `reports` of the home, named by the run.",
        ),
    ] = None,
    hardest: Annotated[int, typer.Option(min=0, help="Number of frames on the contact sheet.")] = 24,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write a self-contained HTML report of a run. Mattes have their own: `report.html` in each video's folder."""
    from flows.home import existing_context
    from tasks.report import write_report

    context = existing_context(home)
    out = out or report_file(context, run)
    write_report(context, run, out, hardest=hardest)
    emit({"file": out}, lambda: typer.echo(out), as_json=as_json)
