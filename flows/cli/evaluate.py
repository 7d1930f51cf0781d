"""`maskmill evaluate`: models and decisions, mattes and plates, compared with ground truth."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import (
    AnyConfigOption,
    FiguresOption,
    JsonOption,
    SetOption,
    chosen_config,
    emit,
    format_cell,
    print_table,
)
from flows.cli.labeled_sets import (
    CategoryOption,
    CocoOption,
    EncodingOption,
    EveryOption,
    FpsOption,
    ImagesOption,
    MaskEncoding,
    MasksOption,
    PartialOption,
    RoiOption,
    SetsArgument,
    read_sets,
)

if TYPE_CHECKING:
    from labeling.evaluation.detection_metrics import DetectionMetrics, PersonMetrics
    from labeling.evaluation.summary import SetSummary
    from labeling.report.tables import FigureTable
    from tasks.evaluate import Evaluation


def evaluate(
    sets: SetsArgument = None,
    images: ImagesOption = None,
    coco: CocoOption = None,
    masks: MasksOption = None,
    mask_encoding: EncodingOption = MaskEncoding.instances,
    roi: RoiOption = None,
    partial: PartialOption = False,
    person_category: CategoryOption = None,
    every: EveryOption = 1,
    fps: FpsOption = None,
    config: AnyConfigOption = None,
    changes: SetOption = None,
    figures: FiguresOption = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an HTML page with plots and the worst images."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare teacher, student and the accepted frames, or mattes and plates, with ground truth."""
    from configs.load import load_config
    from tasks.evaluate import evaluate as evaluate_sets
    from tasks.files import write_file

    config = chosen_config(config)
    run_config = load_config(config, changes or [])
    files = {"images": images, "coco": coco, "masks": masks, "mask_encoding": mask_encoding.value, "roi": roi}
    labeled = read_sets(
        sets,
        files
        | {
            "partial": partial,
            "every": every,
            "fps": fps,
            "person_category": person_category or [],
        },
    )
    evaluation = evaluate_sets(labeled, run_config)
    all_figures = evaluation.figures() if as_json or figures else None
    emit(all_figures, lambda: _print(evaluation), as_json=as_json)
    if figures:
        write_file(figures, json.dumps(all_figures, indent=1).encode() + b"\n")
    if report:
        write_file(report, evaluation.page(config).encode())


def _print(evaluation: "Evaluation") -> None:
    from labeling.report.mattes import matte_tables

    for note in evaluation.notes:
        typer.echo(f"note: {note}")
    if evaluation.sets:
        _print_sets(evaluation.sets)
    _print_tables(matte_tables(evaluation.mattes, evaluation.plates))


def _print_tables(tables: "Iterable[FigureTable]") -> None:
    for table in tables:
        if rows := [(name, *map(format_cell, values)) for name, values in table.rows]:
            print_table((table.title, *table.columns), rows)


def _print_sets(sets: "dict[str, SetSummary]") -> None:
    from labeling.report.over_time import over_time_tables

    _print_rows(
        (
            *("IoU with ground truth", "frames", "with people", "rejected", "boxes only"),
            *("student", "teacher", "teacher boundary"),
        ),
        sets,
        lambda one: (
            *(one.frames, one.with_people, one.rejected, one.without_masks),
            *(one.student_iou, one.teacher_iou, one.teacher_boundary_iou),
        ),
    )
    for role in ("teacher", "student"):
        _print_people(role, {name: getattr(one, f"{role}_people") for name, one in sets.items()})
    _print_tables(over_time_tables(sets))
    _print_rows(
        ("student's failures", "frames", "AUROC", "AP", "precision", "recall"),
        sets,
        lambda one: tuple(asdict(one.mining).values()),
    )
    _print_rows(
        ("teacher's masks", "hard", "good", "bad", "accepted", "precision", "recall"),
        sets,
        lambda one: tuple(asdict(one.accepting).values()),
    )
    _print_rows(
        ("trust in the teacher", "frames", "good", "AUROC", "calibration error"),
        sets,
        lambda one: (one.trusting.count, one.trusting.good, one.trusting.auroc, one.trusting.error),
    )
    _print_rows(
        (
            *("review queue", "waiting", "budget", "corrected", "over random", "over lowest IoU"),
            *("people", "shown", "by lowest IoU"),
        ),
        sets,
        lambda one: tuple(asdict(one.reviewing).values()),
    )


def _print_people(role: str, sets: "Mapping[str, PersonMetrics | None]") -> None:
    """Print matches per person; a line instead where ground truth or model does not separate people."""
    rows = [
        (name, *map(format_cell, (*_of(one.masks), *_of(one.boxes)))) for name, one in sets.items() if one
    ]
    if rows:
        figures = ("missed", "recall", "precision")
        columns = ("masks of", "IoU", *figures, "boxes of", "IoU", *figures)
        print_table((f"{role}, per person", *columns), rows)
    else:
        typer.echo(
            f"{role}, per person: none, because the {role} or the ground truth does not separate people"
        )


def _of(found: "DetectionMetrics | None") -> Sequence[object]:
    return (found.people, found.iou, found.missed, found.recall, found.precision) if found else (None,) * 5


def _print_rows(
    columns: Sequence[str], sets: "dict[str, SetSummary]", row_of: "Callable[[SetSummary], Sequence[object]]"
) -> None:
    """Print the sets that have one of these figures; a line instead of the table if none has."""
    found = {name: row_of(one) for name, one in sets.items()}
    rows = [(name, *map(format_cell, values)) for name, values in found.items() if any(values)]
    if rows:
        print_table(columns, rows)
    else:
        typer.echo(f"{columns[0]}: none")
