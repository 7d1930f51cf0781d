"""`maskmill train`: training of a student, and of the networks that maskmill ships."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from flows.cli.console import (
    DEFAULT_HOME,
    Commands,
    Exit,
    HomeOption,
    JsonOption,
    SetOption,
    emit,
    format_cell,
    print_table,
    warn,
)

if TYPE_CHECKING:
    from tasks.students.train import StudentSummary
    from tasks.train import TrainingSummary
    from tasks.train_osvos_parent import OsvosParentSummary
    from tasks.train_pose_masks import PoseMaskSummary
    from tasks.train_temporal import TemporalSummary
    from tasks.training_records import FailedInput

ToOption = Annotated[
    Path, typer.Option("--to", metavar="DIR", help="Folder of the checkpoints and the network.")
]
SettingsOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="YAML file of the training's settings.")
]


class Summary(Protocol):
    """What every training tells."""

    @property
    def failures(self) -> "Sequence[FailedInput]": ...

    @property
    def warnings(self) -> Sequence[str]: ...


_S = TypeVar("_S", bound=Summary)

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Train a student, and the networks that maskmill ships."
)


@app.callback()
def main() -> None: ...


@app.command()
def matting(
    datasets: Annotated[
        list[str],
        typer.Argument(
            metavar="DATASET...",
            help="`synthetic`, a YAML file of labeled sets, an exported folder, or a folder of PNG cut-outs.",
        ),
    ],
    to: ToOption,
    backgrounds: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Images behind the people; repeatable. Default: labeled images."),
    ] = None,
    videos: Annotated[
        list[Path] | None,
        typer.Option(
            "--video", metavar="VIDEO", help="Static camera, for the adversarial stage; repeatable."
        ),
    ] = None,
    config: SettingsOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the network of `maskmill matte`. The same command again continues an interrupted training."""
    from configs.load import load_training
    from flows.train import train_matting

    settings = load_training(config, changes or [])
    _train(
        lambda: train_matting(datasets, to, settings, backgrounds, videos, show_progress=not as_json),
        _describe_matting,
        as_json=as_json,
    )


@app.command(name="pose-mask")
def pose_mask(
    datasets: Annotated[
        list[str],
        typer.Argument(
            metavar="DATASET...",
            help="`synthetic`, a YAML file of labeled sets, or an exported folder.",
        ),
    ],
    to: ToOption,
    backgrounds: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Images behind the people; repeatable. Default: the labeled images without their people.",
        ),
    ] = None,
    config: SettingsOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the network of `kind: pose_guided`. The same command again continues an interrupted training."""
    from configs.load import load_pose_mask_training
    from flows.train import train_pose_mask

    settings = load_pose_mask_training(config, changes or [])
    _train(
        lambda: train_pose_mask(datasets, to, settings, backgrounds, show_progress=not as_json),
        _describe_pose_mask,
        as_json=as_json,
    )


@app.command()
def temporal(
    datasets: Annotated[
        list[str],
        typer.Argument(
            metavar="DATASET...",
            help="`synthetic`, a COCO file, a YAML file of labeled sets, an exported folder, or PNG cut-outs.",
        ),
    ],
    to: ToOption,
    backgrounds: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Video, image or folder without people; repeatable. Default: labeled images without their people.",
        ),
    ] = None,
    config: SettingsOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the network of `maskmill matte --config moving`. The same command again continues."""
    from configs.load import load_temporal_training
    from flows.train import train_temporal

    settings = load_temporal_training(config, changes or [])
    _train(
        lambda: train_temporal(datasets, to, settings, backgrounds, show_progress=not as_json),
        _describe_temporal,
        as_json=as_json,
    )


@app.command(name="osvos-parent")
def osvos_parent(
    datasets: Annotated[
        list[str],
        typer.Argument(metavar="DATASET...", help="A YAML file of labeled sets, or an exported folder."),
    ],
    to: ToOption,
    config: SettingsOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the network from which `maskmill track` starts. The same command again continues."""
    from configs.load import load_osvos_parent_training
    from flows.train import train_osvos_parent

    settings = load_osvos_parent_training(config, changes or [])
    _train(
        lambda: train_osvos_parent(datasets, to, settings, show_progress=not as_json),
        _describe_parent,
        as_json=as_json,
    )


@app.command()
def student(
    dataset: Annotated[
        str,
        typer.Option("--dataset", metavar="NAME", help="Version: NAME (the latest), NAME@2, or an id."),
    ],
    to: ToOption,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|ID",
            help="Weights to start from: a file, a training's folder, or a student.",
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(metavar="COCO", help="Your own dataset, mixed in so that the student does not forget."),
    ] = None,
    base_images: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of its images.")] = None,
    base_share: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Share of the samples from it.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="small, a network of torchvision, or python:module:factory.")
    ] = None,
    config: SettingsOption = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Train a student on a dataset version, export it as ONNX and int8, and register it."""
    from configs.load import load_student_training
    from flows.train import train_student

    named = {"network": network, "base_share": base_share}
    own = [f"{key}={value}" for key, value in named.items() if value is not None]
    settings = load_student_training(config, [*own, *(changes or [])])
    _train(
        lambda: train_student(
            dataset, to, settings, start, base, base_images, home, show_progress=not as_json
        ),
        _describe_student,
        as_json=as_json,
    )


def _train(run: Callable[[], _S], describe: Callable[[_S], str], *, as_json: bool) -> None:
    from flows.cli.temporary_server import exit_on_sigint, temporary_server

    with exit_on_sigint(), temporary_server():
        summary = run()
    emit(summary, lambda: _print(summary, describe), as_json=as_json)
    if summary.failures:
        raise typer.Exit(Exit.SOURCES_FAILED)


def _print(summary: _S, describe: Callable[[_S], str]) -> None:
    for warning in summary.warnings:
        warn(warning)
    if summary.failures:
        rows = [(failure.name, failure.code, failure.message) for failure in summary.failures]
        print_table(("left out", "why", "what to do"), rows)
    typer.echo(describe(summary))


def _describe_matting(summary: "TrainingSummary") -> str:
    from labeling.text.figures import count_of

    return (
        f"{count_of(summary.cutouts, 'cut-out')} ({summary.with_keypoints} with keypoints), "
        f"{count_of(summary.backgrounds, 'background')}, {count_of(summary.crops, 'crop')} of videos, "
        f"{summary.seconds:.0f} s\n{summary.network}  sha256 {summary.sha256}\n"
        f"use it: maskmill matte VIDEO --out DIR --weights {summary.network}"
    )


def _describe_pose_mask(summary: "PoseMaskSummary") -> str:
    from labeling.text.figures import count_of
    from labeling.text.phrases import format_people

    return (
        f"{count_of(summary.images, 'image')} with {format_people(summary.people)} "
        f"({summary.with_keypoints} with keypoints), {count_of(summary.backgrounds, 'background')}, "
        f"{summary.seconds:.0f} s\n{summary.network}  sha256 {summary.sha256}\n"
        f"use it: --set 'teacher={{kind: pose_guided, path: {summary.network}}}'"
    )


def _describe_temporal(summary: "TemporalSummary") -> str:
    from labeling.text.figures import count_of

    return (
        f"{count_of(summary.cutouts, 'cut-out')}, {count_of(summary.backgrounds, 'background')}, "
        f"{count_of(summary.clips, 'clip')}, "
        f"{summary.seconds:.0f} s\n{summary.network}  sha256 {summary.sha256}\n"
        f"use it: maskmill matte VIDEO --out DIR --config moving --weights {summary.network}"
    )


def _describe_parent(summary: "OsvosParentSummary") -> str:
    from labeling.text.phrases import format_people

    return (
        f"{format_people(summary.people)}, {summary.seconds:.0f} s\n{summary.network}  sha256 {summary.sha256}\n"
        f"use it: maskmill track VIDEO --trajectories FILE --to DIR --parent {summary.network}"
    )


def _describe_student(summary: "StudentSummary") -> str:
    from labeling.text.figures import count_of

    rows = [
        (
            name,
            files["fp32"]["frames"],
            *(format_cell(files[file]["iou"]) for file in ("fp32", "onnx", "int8")),
        )
        for name, files in summary.metrics["groups"].items()
    ]
    if rows:
        print_table(("mean IoU on val", "frames", "trained", "ONNX", "int8"), rows)
    return (
        f"{count_of(summary.train_frames, 'frame')} of train, {summary.val_frames} of val, {summary.base_frames} of the base "
        f"dataset, {summary.seconds:.0f} s\n{summary.network}  sha256 {summary.sha256}\n"
        f"masks of the trained network and of this file: IoU {summary.mask_iou:.4f}\n"
        f"next: maskmill student promote {summary.sha256[:12]} --on VERSION"
    )
