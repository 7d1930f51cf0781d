"""`maskmill train`: training of the networks that maskmill ships."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import Exit, JsonOption, SetOption, emit, print_table, warn

if TYPE_CHECKING:
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

app = typer.Typer(no_args_is_help=True, help="Train the networks that maskmill ships.")


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
    from flows.cli.temporary_server import exit_on_sigint, temporary_server
    from flows.train import train_matting

    settings = load_training(config, changes or [])
    with exit_on_sigint(), temporary_server():
        summary = train_matting(datasets, to, settings, backgrounds, videos, show_progress=not as_json)
    emit(summary, lambda: _print(summary), as_json=as_json)
    if summary.failures:
        raise typer.Exit(Exit.SOURCES_FAILED)


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
    from flows.cli.temporary_server import exit_on_sigint, temporary_server
    from flows.train import train_pose_mask

    settings = load_pose_mask_training(config, changes or [])
    with exit_on_sigint(), temporary_server():
        summary = train_pose_mask(datasets, to, settings, backgrounds, show_progress=not as_json)
    emit(summary, lambda: _print_pose_mask(summary), as_json=as_json)
    if summary.failures:
        raise typer.Exit(Exit.SOURCES_FAILED)


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
    from flows.cli.temporary_server import exit_on_sigint, temporary_server
    from flows.train import train_temporal

    settings = load_temporal_training(config, changes or [])
    with exit_on_sigint(), temporary_server():
        summary = train_temporal(datasets, to, settings, backgrounds, show_progress=not as_json)
    emit(summary, lambda: _print_temporal(summary), as_json=as_json)
    if summary.failures:
        raise typer.Exit(Exit.SOURCES_FAILED)


def _print_temporal(summary: "TemporalSummary") -> None:
    _print_problems(summary.failures, summary.warnings)
    typer.echo(
        f"{summary.cutouts} cut-outs, {summary.backgrounds} backgrounds, {summary.clips} clips, "
        f"{summary.seconds:.0f} s\n{summary.network}  sha256 {summary.sha256}\n"
        f"use it: maskmill matte VIDEO --out DIR --config moving --weights {summary.network}"
    )


def _print_problems(failures: "Sequence[FailedInput]", warnings: Sequence[str] = ()) -> None:
    for warning in warnings:
        warn(warning)
    if failures:
        print_table(("left out", "why", "what to do"), [(f.name, f.code, f.message) for f in failures])


def _print_pose_mask(summary: "PoseMaskSummary") -> None:
    _print_problems(summary.failures, summary.warnings)
    typer.echo(
        f"{summary.images} images with {summary.people} people ({summary.with_keypoints} with keypoints), "
        f"{summary.backgrounds} backgrounds, {summary.seconds:.0f} s\n{summary.network}  sha256 {summary.sha256}\n"
        f"use it: --set 'teacher={{kind: pose_guided, path: {summary.network}}}'"
    )


def _print(summary: "TrainingSummary") -> None:
    _print_problems(summary.failures, summary.warnings)
    typer.echo(
        f"{summary.cutouts} cut-outs ({summary.with_keypoints} with keypoints), {summary.backgrounds} backgrounds, "
        f"{summary.crops} crops of videos, {summary.seconds:.0f} s\n{summary.network}  sha256 {summary.sha256}\n"
        f"use it: maskmill matte VIDEO --out DIR --weights {summary.network}"
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
    from flows.cli.temporary_server import exit_on_sigint, temporary_server
    from flows.train import train_osvos_parent

    settings = load_osvos_parent_training(config, changes or [])
    with exit_on_sigint(), temporary_server():
        summary = train_osvos_parent(datasets, to, settings, show_progress=not as_json)
    emit(summary, lambda: _print_parent(summary), as_json=as_json)
    if summary.failures:
        raise typer.Exit(Exit.SOURCES_FAILED)


def _print_parent(summary: "OsvosParentSummary") -> None:
    _print_problems(summary.failures)
    typer.echo(
        f"{summary.people} people, {summary.seconds:.0f} s\n{summary.network}  sha256 {summary.sha256}\n"
        f"use it: maskmill track VIDEO --trajectories FILE --to DIR --parent {summary.network}"
    )
