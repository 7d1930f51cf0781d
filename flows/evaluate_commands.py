"""`maskmill evaluate`: how right models and decisions are, on pictures with ground truth."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.console import ConfigOption, SetOption, print_table
from labeling.errors import ConfigError

if TYPE_CHECKING:
    from labeling.evaluation.summary import SetSummary


class Codes(StrEnum):
    instances = "instances"
    cdnet = "cdnet"


def evaluate(
    sets: Annotated[
        Path | None,
        typer.Argument(metavar="SETS.yaml", help="Several labelled sets: NAME: {images: ..., masks: ...}"),
    ] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="The pictures of one set.")] = None,
    coco: Annotated[Path | None, typer.Option(metavar="FILE", help="Its COCO annotations; or")] = None,
    masks: Annotated[Path | None, typer.Option(metavar="DIR", help="its PNG masks.")] = None,
    codes: Annotated[Codes, typer.Option(help="What the values of the masks mean.")] = Codes.instances,
    roi: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Its black pixels are ignored everywhere.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="One labelled picture in so many.")] = 1,
    config: ConfigOption = "default",
    changes: SetOption = None,
    to: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures, and every frame's.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an HTML page with plots and the worst pictures."),
    ] = None,
) -> None:
    """Compare teacher, student and what would be accepted with ground truth."""
    from configs.load import load_config, load_labelled_sets
    from tasks.evaluate import evaluate as evaluate_sets
    from tasks.looks import write_file

    run_config = load_config(config, changes or [])
    if sets:
        if images or coco or masks:
            raise ConfigError(f"{sets} names its own pictures: leave --images, --coco and --masks away")
        labelled = load_labelled_sets(sets)
    elif images:
        one = {"images": images, "coco": coco, "masks": masks, "codes": codes.value, "roi": roi}
        labelled = load_labelled_sets({images.resolve().name: {**one, "every": every}})
    else:
        raise ConfigError("no ground truth: name a SETS.yaml, or --images with --coco or --masks")
    evaluation = evaluate_sets(labelled, run_config)
    _print(evaluation.sets)
    if to:
        write_file(to, json.dumps(evaluation.figures(), indent=1).encode() + b"\n")
    if report:
        write_file(report, evaluation.page(config).encode())


def _print(sets: "dict[str, SetSummary]") -> None:
    _print_rows(
        ("IoU with truth", "frames", "people in", "rejected", "student", "teacher"),
        sets,
        lambda one: (one.frames, one.with_people, one.rejected, one.student_iou, one.teacher_iou),
    )
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
        ("review queue", "waiting", "budget", "corrected", "over random"),
        sets,
        lambda one: tuple(asdict(one.reviewing).values()),
    )


def _print_rows(
    columns: Sequence[str], sets: "dict[str, SetSummary]", row_of: "Callable[[SetSummary], Sequence[object]]"
) -> None:
    print_table(columns, ((name, *map(_say, row_of(one))) for name, one in sets.items()))


def _say(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
