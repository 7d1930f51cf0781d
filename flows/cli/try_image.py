"""`maskmill try`: what a segmenter sees in one image or frame."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import JsonOption, SetOption, emit
from flows.cli.times import TimeOption


class TriedRole(StrEnum):
    student = "student"
    teacher = "teacher"


def try_image(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A YAML file or preset with the segmenter.")
    ],
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE|VIDEO", help="Image file, or a video, of which a frame is taken.")
    ],
    role: Annotated[TriedRole, typer.Option(help="Segmenter to try.")] = TriedRole.student,
    at: Annotated[float | None, TimeOption("Frame of a video; default: in its middle.")] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the image with the masks drawn on it, as PNG.")
    ] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the student or teacher of a config sees in one image or frame, without a run."""
    from configs.load import load_config
    from tasks.files import write_file
    from tasks.try_image import draw_trial, try_segmenter

    trial = try_segmenter(load_config(config, changes or []), image, role=role.value, at_s=at)
    if to:
        write_file(to, draw_trial(trial))

    def show() -> None:
        for line in trial.lines():
            typer.echo(line)
        if to:
            typer.echo(f"drawn to {to}")

    emit(trial.figures(), show, as_json=as_json)
