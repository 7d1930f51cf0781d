"""`maskmill matte`: people cut out of videos."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError, Interrupted, SourceNotFound
from flows.cli.console import (
    DEFAULT_HOME,
    Exit,
    HomeOption,
    JsonOption,
    SetOption,
    print_json,
    print_table,
    warn,
)
from flows.cli.times import TimeOption

if TYPE_CHECKING:
    from configs.matting import MatteSettings
    from configs.models import RunConfig
    from tasks.matte import MatteSummary


class MatteFormat(StrEnum):
    """Formats of `maskmill matte`."""

    png = "png"
    webm = "webm"
    mov = "mov"


def matte(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...", help="Videos: files, folders, globs. For a moving camera: --config moving."
        ),
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
            metavar="FILE", help="A network of `maskmill train matting` or `temporal`, not the shipped one."
        ),
    ] = None,
    start: Annotated[
        float, TimeOption("Cut out only the part that starts here: seconds, mm:ss or hh:mm:ss.")
    ] = 0.0,
    end: Annotated[float | None, TimeOption("The part ends here; default: the whole rest.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Cut the people out of videos: alpha, foreground, composite. The same command again continues."""
    from configs.load import load_config
    from configs.matting import MatteSettings
    from labeling.sources.expand import is_missing_path

    run_config = load_config(config, changes or [])
    if end is not None and end <= start:
        raise ConfigError(f"--end {end:g} s is not after --start {start:g} s: give a later end")
    settings = MatteSettings(
        background=background,
        format=output_format.value,
        camera=run_config.camera,
        weights=weights,
        start_s=start,
        end_s=end,
    )
    if all(map(is_missing_path, videos)):  # before the seconds that Prefect takes to start
        raise SourceNotFound(
            f"no file or folder {', '.join(videos)}: check the path and the working directory"
        )
    began_s = time.time()
    summaries = _matte(videos, out, settings, run_config, home, show_progress=not as_json)
    if not as_json and summaries and all(_was_complete(summary, began_s) for summary in summaries):
        typer.echo("nothing to do: these mattes are complete\n")
    if as_json:
        print_json([asdict(summary) for summary in summaries])
    else:
        _print(summaries)
    failed = sum(bool(summary.error) for summary in summaries)
    if failed:
        raise typer.Exit(Exit.NOTHING_READ if failed == len(summaries) else Exit.SOURCES_FAILED)


def _matte(
    videos: list[str],
    out: Path,
    settings: "MatteSettings",
    config: "RunConfig",
    home: Path,
    *,
    show_progress: bool,
) -> "list[MatteSummary]":
    """Call the flow in this process and show its progress."""
    from prefect.exceptions import CancelledRun

    from flows.cli.progress import watch_mattes
    from flows.cli.temporary_server import exit_on_sigint, temporary_server
    from flows.cli.working import working
    from flows.home import whole_path
    from flows.matte import matte_videos, plan_mattes
    from tasks.matte import MatteOrder

    planned = plan_mattes(videos, whole_path(out, "out"), settings)
    folders = [order.folder for order in planned if isinstance(order, MatteOrder)]
    try:
        with (
            working("starting", enabled=show_progress) as update,
            exit_on_sigint(),
            temporary_server(),
            watch_mattes(folders, update),
        ):
            return matte_videos(videos, out, settings, config, home)
    except CancelledRun as exc:
        raise Interrupted("the run was cancelled; run the same command again to continue it") from exc


def _was_complete(summary: "MatteSummary", began_s: float) -> bool:
    """Return whether a matte was complete before that moment, and its folder was only read since."""
    if summary.error:
        return False
    return (Path(summary.folder) / "matte.json").stat().st_mtime < began_s


def _print(summaries: "Sequence[MatteSummary]") -> None:
    done = [summary for summary in summaries if not summary.error]
    if done:
        rows = [
            (Path(s.source).name, s.frames, s.frames_with_people, f"{s.frames_per_s:.1f}", s.folder)
            for s in done
        ]
        print_table(("video", "frames", "with people", "frames/s", "folder"), rows)
        typer.echo("\ncomposite.mp4, alpha/, foreground/ and report.html are in each folder")
    if failed := [(s.source, s.error, s.message) for s in summaries if s.error]:
        typer.echo("")
        print_table(("failed", "why", "what to do"), failed)
    for summary in done:
        if summary.frames and not summary.frames_with_people:
            warn(f"{Path(summary.source).name}: no person was found, so all of it is background")
        for warning in summary.warnings:
            warn(f"{Path(summary.source).name}: {warning}")
