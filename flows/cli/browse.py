"""`maskmill runs`, `frames`, `show` and `report`: what runs found."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import DEFAULT_HOME, HomeOption, JsonOption, RunOption, emit, format_cell, print_table


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


def runs(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the runs of a home, most recent first."""
    from flows.home import existing_context
    from tasks.browse import list_runs

    with existing_context(home).database.session() as session:
        rows = list_runs(session)
    columns = ("run", "name", "started (UTC)", "last worked on (UTC)", "", "frames sampled", "hard", "people")
    table = [
        (
            row.id,
            row.name,
            f"{row.started_at:%Y-%m-%d %H:%M}",
            f"{row.worked_at:%Y-%m-%d %H:%M}",
            "finished" if row.finished else "not finished",
            row.sampled,
            row.hard,
            row.people,
        )
        for row in rows
    ]
    emit(rows, lambda: print_table(columns, table), as_json=as_json)


def frames(
    decision: Annotated[
        list[str] | None, typer.Option(metavar="D", help="rejected, easy, accepted or review; repeatable.")
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
    from tasks.strips import write_strip

    decisions = check_decisions(decision or [], DECISIONS)
    if strip is not None and person is None:
        raise ConfigError("--strip draws one person: add --person VIDEO:NUMBER, from the column `people`")
    context = existing_context(home)
    with context.database.session() as session:
        run_id = latest_run(session, run).id
        key = None if person is None else find_person(session, run_id, person)
        by_time = order is FrameOrder.time
        query = FrameQuery(decisions, person=key, order="time" if by_time else "agreement", limit=limit)
        rows = list(list_frames(session, run_id, query))
    if strip is not None and person is not None:
        write_strip(context, run_id, person, strip)
    columns = ("frame", "video", "time", "people", "IoU", "expected IoU", "decision", "why")
    table = [
        (
            row.id,
            row.title,
            row.name if row.pts_ms is None else clock(row.pts_ms),
            " ".join(row.people),
            format_cell(row.iou),
            format_cell(row.expected_iou),
            row.decision,
            "; ".join(row.reasons) or row.rule or ", ".join(row.causes),
        )
        for row in rows
    ]
    emit(rows, lambda: print_table(columns, table), as_json=as_json)


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


def report(
    out: Annotated[Path, typer.Argument(metavar="OUT.html", help="HTML file to write.")],
    hardest: Annotated[int, typer.Option(min=0, help="Number of frames on the contact sheet.")] = 24,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write a self-contained HTML report of a run. Mattes have their own: `report.html` in each video's folder."""
    from flows.home import existing_context
    from tasks.report import write_report

    write_report(existing_context(home), run, out, hardest=hardest)
    emit({"file": out}, lambda: typer.echo(out), as_json=as_json)
