"""`maskmill matte`: people cut out of videos of a static camera."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import DEFAULT_HOME, Exit, HomeOption, JsonOption, SetOption, print_json, print_table

if TYPE_CHECKING:
    from tasks.matte import MatteSummary


class MatteFormat(StrEnum):
    """Formats of `maskmill matte`."""

    png = "png"
    webm = "webm"
    mov = "mov"


def matte(
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO...", help="Videos of a camera that does not move.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder; each video gets a folder in it.")
    ],
    config: Annotated[
        str, typer.Option("--config", metavar="NAME|FILE", help="Config whose teacher finds the people.")
    ] = "lite",
    changes: SetOption = None,
    background: Annotated[
        str,
        typer.Option(
            metavar="COLOR|PICTURE|VIDEO|blur", help="What replaces the background in composite.mp4."
        ),
    ] = "#00b140",
    output_format: Annotated[
        MatteFormat,
        typer.Option("--format", help="png: images; webm, mov: also a video with alpha, for editors."),
    ] = MatteFormat.png,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A network of `maskmill train matting` instead of the shipped one."
        ),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Cut the people out of videos: alpha, foreground, composite. The same command again continues."""
    from configs.load import load_config
    from configs.matting import MatteSettings
    from flows.cli.temporary_server import temporary_server
    from flows.matte import matte_videos

    settings = MatteSettings(background=background, format=output_format.value, weights=weights)
    run_config = load_config(config, changes or [])
    with temporary_server():
        summaries = matte_videos([str(video) for video in videos], out, settings, run_config, home)
    if as_json:
        print_json([asdict(summary) for summary in summaries])
    else:
        _print(summaries)
    failed = sum(bool(summary.error) for summary in summaries)
    if failed:
        raise typer.Exit(Exit.NOTHING_READ if failed == len(summaries) else Exit.SOURCES_FAILED)


def _print(summaries: "list[MatteSummary]") -> None:
    rows = [
        [
            Path(s.source).name,
            str(s.frames),
            str(s.frames_with_people),
            f"{s.seconds:.1f}",
            s.message or s.folder,
        ]
        for s in summaries
    ]
    print_table(["video", "frames", "with people", "seconds", "folder"], rows)
    for summary in summaries:
        for warning in summary.warnings:
            typer.echo(f"{Path(summary.source).name}: {warning}", err=True)
