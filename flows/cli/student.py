"""`maskmill student`: the students that were trained, compared, and promoted or taken back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import (
    DEFAULT_HOME,
    Commands,
    HomeOption,
    JsonOption,
    emit,
    format_cell,
    print_table,
    warn,
)

if TYPE_CHECKING:
    from labeling.students.comparison import StudentComparison

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Compare students, and promote the better one.")
StudentArgument = Annotated[
    str,
    typer.Argument(metavar="STUDENT", help="First digits of an id of `student list`, latest, or current."),
]
OnOption = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="VERSION[:SPLIT]",
        help="Frames to compare on: val and test of a version, or one of them.",
    ),
]


@app.callback()
def main() -> None: ...


@app.command("list")
def list_all(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the students that were trained here."""
    from db.students.registry import list_students
    from flows.home import existing_context

    with existing_context(home).database.session() as session:
        lines = list_students(session)
    rows = [
        (
            *(line.id[:12], line.state, line.dataset, line.network, f"{line.created_at:%Y-%m-%d %H:%M}"),
            *(format_cell(_iou(line.metrics, file)) for file in ("fp32", "onnx", "int8")),
        )
        for line in lines
    ]
    columns = ("student", "state", "dataset", "network", "created (UTC)", "IoU on val", "ONNX", "int8")
    emit(lines, lambda: print_table(columns, rows), as_json=as_json)


def _iou(metrics: dict[str, object], file: str) -> float | None:
    groups = metrics.get("groups")
    if not isinstance(groups, dict) or not groups:
        return None
    return float(next(iter(groups.values()))[file]["iou"])


@app.command()
def show(student: StudentArgument, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show a student: its files, what it was trained on, its scores, and when it was in use."""
    from flows.home import existing_context
    from tasks.students.show import describe_student

    found = describe_student(existing_context(home), student)

    def print_student() -> None:
        line = found.student
        rows = [
            ("student", f"{line.id} ({line.state})"),
            ("files", found.folder),
            ("network", line.network),
            ("trained on", f"{line.dataset}, content {found.snapshot_id[:12]}"),
            ("created (UTC)", f"{line.created_at:%Y-%m-%d %H:%M} by {line.created_by}"),
            ("use it", f"--set student=registry:{line.id[:12]}"),
            *((one.action, one.text) for one in found.promotions),
        ]
        print_table(("", ""), rows)
        scores = [
            (
                name,
                files["fp32"]["frames"],
                *(format_cell(files[one]["iou"]) for one in ("fp32", "onnx", "int8")),
            )
            for name, files in line.metrics.get("groups", {}).items()
        ]
        if scores:
            typer.echo("")
            print_table(("mean IoU on val", "frames", "trained", "ONNX", "int8"), scores)

    emit(found, print_student, as_json=as_json)


@app.command()
def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A", help="Student: an id, latest, current, one with :int8, or the student of a config."
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Student to compare with.")],
    on: OnOption,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Also write the figures as JSON.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.", min=0)] = 0,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Compare two students on the same frames, with 95 % intervals by resampling videos."""
    from flows.cli.console import to_json
    from flows.home import existing_context
    from tasks.files import write_file
    from tasks.students.compare import compare_students

    found = compare_students(existing_context(home), first, second, on, seed=seed)
    if out:
        write_file(out, to_json(found).encode())
    emit(found, lambda: print_comparison(found), as_json=as_json)


def print_comparison(found: "StudentComparison") -> None:
    """Print a table, a line for each group of frames."""
    from labeling.text.figures import count_of
    from tasks.students.rounds import format_interval

    if found.unreadable:
        warn(f"left out, as they cannot be read: {count_of(found.unreadable, 'frame')}")
    if found.learned:
        warn(f"left out, of videos that a student was trained on: {count_of(found.learned, 'frame')}")
    columns = (
        "frames of",
        "frames",
        "videos",
        "IoU A",
        "IoU B",
        "A - B",
        "boundary A",
        "boundary B",
        "A - B",
    )
    rows = [
        (
            *(name, one.frames, one.videos),
            *map(format_cell, one.iou),
            format_interval(one.iou_difference),
            *map(format_cell, one.boundary_iou),
            format_interval(one.boundary_difference),
        )
        for name, one in found.groups.items()
    ]
    typer.echo(f"A: {found.first}   B: {found.second}   on {found.on}")
    print_table(columns, rows)
    if found.int8_iou is not None:
        typer.echo(f"A as int8: IoU {found.int8_iou:.3f}")


@app.command()
def promote(
    student: StudentArgument,
    on: OnOption,
    against: Annotated[
        str | None,
        typer.Option(metavar="B", help="Student to compare with, as in `compare`. Default: the current one."),
    ] = None,
    random: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Student of as many random frames, whose gain is shown beside in `rounds`."
        ),
    ] = None,
    force: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Promote it whatever the comparison says; the reason is stored."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make a student the current one (`student: registry:current`), unless it is worse than the one before."""
    from flows.home import existing_context
    from tasks.students.promote import PromotionOrder, judge_student, promote_student

    context = existing_context(home)
    judged = judge_student(context, PromotionOrder(student, on, against, random))
    if not as_json:
        print_comparison(judged.comparison)
    done = promote_student(context, judged, force=force)

    def print_promotion() -> None:
        for reason in done.overruled:
            warn(f"overruled: {reason}")
        typer.echo(f"current student: {done.student.id[:12]}, trained on {done.student.dataset}")

    emit(done, print_promotion, as_json=as_json)


@app.command()
def rollback(
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it is stored.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take the last promotion back: the student before it is the current one again."""
    from flows.home import existing_context
    from tasks.students.registry import roll_back

    done = roll_back(existing_context(home), reason)
    emit(
        done,
        lambda: typer.echo(f"current student: {done.now.id[:12]}; taken back: {done.before.id[:12]}"),
        as_json=as_json,
    )


@app.command()
def rounds(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List what each promoted student cost and gained: frames, machine and human time, and the difference in IoU."""
    from db.students.rounds import list_rounds
    from flows.home import existing_context
    from tasks.students.rounds import ROUND_COLUMNS, round_rows

    with existing_context(home).database.session() as session:
        found = list_rounds(session)
    emit(found, lambda: print_table(ROUND_COLUMNS, round_rows(found)), as_json=as_json)
