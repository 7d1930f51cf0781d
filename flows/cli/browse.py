"""Looking at runs: `maskmill runs`, `frames`, `show` and `report`."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import HomeOption, JsonOption, RunOption, print_json, print_table

DECISIONS = ("rejected", "easy", "accepted", "review")
DEFAULT_HOME = Path(".maskmill")


class FrameOrder(StrEnum):
    agreement = "agreement"
    time = "time"


def check_decisions(decisions: Sequence[str]) -> list[str]:
    """The decisions, or a ConfigError that names the known ones."""
    for decision in decisions:
        if decision not in DECISIONS:
            raise ConfigError(f"--decision {decision!r}: known are {', '.join(DECISIONS)}")
    return list(decisions)


def runs(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the runs of a home, the one worked on last first."""
    from flows.home import existing_context
    from tasks.browse import list_runs

    with existing_context(home).database.session() as session:
        rows = list_runs(session)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("run", "name", "started (UTC)", "worked on (UTC)", "", "frames sampled", "hard"),
        (
            (
                row.id,
                row.name,
                f"{row.started_at:%Y-%m-%d %H:%M}",
                f"{row.worked_at:%Y-%m-%d %H:%M}",
                "finished" if row.finished else "not finished",
                row.looked_at,
                row.hard,
            )
            for row in rows
        ),
    )


def frames(
    decision: Annotated[
        list[str] | None, typer.Option(metavar="D", help="rejected, easy, accepted or review.")
    ] = None,
    order: Annotated[
        FrameOrder, typer.Option(help="Hardest first, or by video and time.")
    ] = FrameOrder.agreement,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """List frames of a run, hardest first."""
    from db.frames.listing import FrameQuery, list_frames
    from db.runs.queries import latest_run
    from flows.home import existing_context
    from labeling.text.figures import clock

    wanted = tuple(check_decisions(decision or []))
    with existing_context(home).database.session() as session:
        run_id = latest_run(session, run).id
        rows = list(
            list_frames(
                session,
                run_id,
                FrameQuery(wanted, order="time" if order is FrameOrder.time else "agreement", limit=limit),
            )
        )
    if as_json:
        print_json(rows)
        return
    print_table(
        ("frame", "video", "time", "IoU", "expected", "decision", "why"),
        (
            (
                row.id,
                row.title,
                clock(row.t_ms) if row.kind == "video" else row.name,
                "" if row.iou is None else f"{row.iou:.3f}",
                "" if row.expected_iou is None else f"{row.expected_iou:.3f}",
                row.decision,
                "; ".join(row.reasons) or row.rule or ", ".join(row.causes),
            )
            for row in rows
        ),
    )


def show(
    frame: Annotated[
        int, typer.Argument(min=0, max=2**53 - 1, help="Id of a frame, as `maskmill frames` lists it.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="PNG to write.")] = Path("frame.png"),
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
    if as_json:
        print_json({"frame": frame, "file": out, "caption": caption})
    else:
        typer.echo(f"{out}: {caption}")


def report(
    out: Annotated[Path, typer.Argument(metavar="OUT.html", help="Page to write.")],
    hardest: Annotated[int, typer.Option(min=0, help="Frames on the contact sheet.")] = 24,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write one self-contained page about a run."""
    from flows.home import existing_context
    from tasks.report import write_report

    write_report(existing_context(home), run, out, hardest=hardest)
    if as_json:
        print_json({"file": out})
    else:
        typer.echo(out)
