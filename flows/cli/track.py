"""`maskmill track`: the masks of people whose trajectories are known."""

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.errors import ConfigError, Interrupted, ModelError
from flows.cli.console import (
    DEFAULT_HOME,
    ConfigOption,
    Exit,
    HomeOption,
    JsonOption,
    SetOption,
    emit,
    print_table,
    warn,
)
from flows.cli.times import TimeOption

if TYPE_CHECKING:
    from configs.models import RunConfig
    from configs.segmenters import OsvosBlock
    from tasks.track_people import TrackSummary


class MaskSource(StrEnum):
    """Masks that people are learned from."""

    teacher = "teacher"
    background = "background"


def track(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="File of a video.")],
    trajectories: Annotated[
        Path, typer.Option(metavar="FILE", help="Text, `frame pID x y` in world coordinates or pixels.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of masks, COCO file and video.")],
    homography: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="3x3 text, pixels to the world; default: fitted to the people."),
    ] = None,
    homography_size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT", help="Image that the homography was made for; default: by trial."
        ),
    ] = None,
    person: Annotated[str, typer.Option(metavar="ID|all", help="Ids such as 3 or 3,7, or all.")] = "all",
    mask_source: Annotated[
        MaskSource,
        typer.Option(help="Masks to learn from: the teacher's, or the moving pixels in its boxes."),
    ] = MaskSource.teacher,
    every_s: Annotated[float, TimeOption("Time between frames; 0: every frame.")] = 0.0,
    beyond_s: Annotated[float, TimeOption("Time before the first and after the last annotation.")] = 0.0,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights of the backbone, such as EfficientNet-Lite0's."),
    ] = None,
    parent: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A network of `maskmill train osvos-parent`.")
    ] = None,
    config: ConfigOption = "surveillance",
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Follow people with known trajectories through a video. The same command again continues."""
    from configs.load import load_config
    from labeling.tracking.homography import read_homography
    from labeling.tracking.trajectories import parse_people, read_trajectories, select_people

    base = load_config(config, [one for one in changes or [] if not one.startswith("teacher.")])
    people = select_people(read_trajectories(trajectories), parse_people(person))
    if homography is not None:
        read_homography(homography)
    block = _make_block(
        {
            "trajectories": trajectories.absolute(),
            "homography": homography.absolute() if homography else None,
            "version": _digest(trajectories, homography),
            "people": None if person.strip() == "all" else tuple(people),
            "mask_source": mask_source.value,
            "homography_hw": parse_size(homography_size) if homography_size else None,
            "beyond_s": beyond_s,
            "weights": weights.absolute() if weights else None,
            "parent": parent.absolute() if parent else None,
            "teacher": base.teacher.model_dump(),
        },
        [one.removeprefix("teacher.") for one in changes or [] if one.startswith("teacher.")],
    )
    from flows.track_people import track_config  # Prefect takes seconds: only for what can run

    run = track_config(block, base, every_s=every_s)
    summary = _track(video, to, block, base, run, home, every_s=every_s, show_progress=not as_json)
    emit(summary, lambda: _print(summary), as_json=as_json)
    if any(one.error for one in summary.people):
        raise typer.Exit(Exit.SOURCES_FAILED)


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of `768x576`.

    >>> parse_size("768x576")
    (576, 768)
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if not match or not int(match[1]) * int(match[2]):
        raise ConfigError(f"--homography-size {text!r}: write WIDTHxHEIGHT, such as 768x576")
    return int(match[2]), int(match[1])


def _digest(*paths: Path | None) -> str:
    """Return a short digest of the files: other trajectories are another run."""
    from hashlib import sha256

    return sha256(b"|".join(path.read_bytes() for path in paths if path)).hexdigest()[:16]


def _make_block(settings: dict[str, Any], changes: Sequence[str]) -> "OsvosBlock":
    """Return the block of the run's teacher, with changes such as `anchor=top`."""
    import yaml
    from pydantic import ValidationError

    from configs.segmenters import OsvosBlock

    try:
        for change in changes:
            key, _, value = change.partition("=")
            settings[key] = yaml.safe_load(value)
        return OsvosBlock.model_validate(settings)
    except ValidationError as exc:
        problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in exc.errors())
        raise ConfigError(f"people to track: {'; '.join(problems)}; see docs/trajectories.md") from exc
    except yaml.YAMLError as exc:
        raise ConfigError(f"--set teacher.{changes}: not a YAML value") from exc


def _track(
    video: Path,
    to: Path,
    block: "OsvosBlock",
    base: "RunConfig",
    run: "RunConfig",
    home: Path,
    *,
    every_s: float,
    show_progress: bool,
) -> "TrackSummary":
    """Call the flow in this process and show its progress."""
    from prefect.exceptions import CancelledRun

    from flows.cli.progress import watch_progress
    from flows.cli.temporary_server import exit_on_sigint, temporary_server
    from flows.cli.working import working
    from flows.track_people import track_people
    from tasks.observability.final_state import NoSourceReadable

    try:
        with (
            working("starting", enabled=show_progress) as update,
            exit_on_sigint(),
            temporary_server(),
            watch_progress(home, run.run_id(), update),
        ):
            return track_people(video, to, block, base, home, every_s)
    except NoSourceReadable as error:
        reasons = "; ".join(f"{one.what}: {one.code}: {one.message}" for one in error.summary.failures)
        raise ModelError(f"no mask was made: {reasons}") from error
    except CancelledRun as exc:
        raise Interrupted("the run was cancelled; run the same command again to continue it") from exc


def _print(summary: "TrackSummary") -> None:
    rows = [
        (
            *(one.person, one.annotated, one.skipped, one.missing, one.distance_px, one.masks, one.frames),
            *(f"{one.before:.0%}", f"{one.after:.0%}", one.confidence, one.cpu_s),
        )
        for one in summary.people
        if not one.error
    ]
    columns = (
        *("person", "annotated", "skipped", "missing", "px away", "learned from", "frames with a mask"),
        *("before", "after", "confidence", "s"),
    )
    print_table(columns, rows)
    for one in summary.people:
        if one.error:
            warn(f"{one.error}: {one.message}")
    typer.echo(
        f"\n{summary.conventions}\n{summary.folder}: instances.json, person_ID/, overlay.mp4, summary.json"
    )
