"""`maskmill export`: write a run's frames as a dataset."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.console import Commands, HomeOption, JsonOption, RunOption, print_json
from labeling.errors import ConfigError

if TYPE_CHECKING:
    from labeling.formats.dataset import DatasetFrame, ExportSummary

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Write a run's frames as a dataset.")

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DIR|URL", help="Folder or s3://... to write; an earlier export in it is replaced."
    ),
]
DecisionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--decision",
        help="accepted, reviewed, review or easy; may be repeated. Default: accepted and reviewed.",
        metavar="D",
    ),
]
CopyOption = Annotated[bool, typer.Option("--copy", help="Copy pictures instead of hard-linking them.")]
DEFAULT_HOME = Path(".maskmill")
DECISIONS = ("accepted", "reviewed", "review", "easy")


@app.command()
def coco(
    target: TargetArgument,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="Polygons instead of RLE: holes are lost.")
    ] = False,
    copy: CopyOption = False,
    decisions: DecisionOption = None,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """COCO instances and person keypoints, masks as RLE."""
    from labeling.formats.coco import write_coco
    from labeling.formats.store_export import export_to

    with _frames(home, run, decisions) as frames:
        written = export_to(
            target,
            lambda folder, pictures: write_coco(
                frames, folder, polygons=polygons, copy=copy, pictures=pictures
            ),
        )
        _report(written, target, as_json)


@app.command("yolo-seg")
def yolo_seg(
    target: TargetArgument,
    copy: CopyOption = False,
    decisions: DecisionOption = None,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Ultralytics' polygons (lossy: holes are lost)."""
    from labeling.formats.store_export import export_to
    from labeling.formats.yolo_seg import write_yolo_seg

    with _frames(home, run, decisions) as frames:
        written = export_to(
            target,
            lambda folder, pictures: write_yolo_seg(frames, folder, copy=copy, pictures=pictures),
        )
        _report(written, target, as_json)


@app.command()
def masks(
    target: TargetArgument,
    copy: CopyOption = False,
    decisions: DecisionOption = None,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """One PNG per frame, whose pixel value is the instance."""
    from labeling.formats.mask_pngs import write_mask_pngs
    from labeling.formats.store_export import export_to

    with _frames(home, run, decisions) as frames:
        written = export_to(
            target,
            lambda folder, pictures: write_mask_pngs(frames, folder, copy=copy, pictures=pictures),
        )
        _report(written, target, as_json)


@contextmanager
def _frames(home: Path, run: str | None, decisions: list[str] | None) -> "Iterator[Iterator[DatasetFrame]]":
    from db.dataset import dataset_frames
    from db.queries import latest_run
    from flows.home import existing_home, open_home

    wanted = decisions or ["accepted", "reviewed"]
    for decision in wanted:
        if decision not in DECISIONS:
            raise ConfigError(f"--decision {decision!r}: known are {', '.join(DECISIONS)}")
    with open_home(home).session() as session:
        run_id = latest_run(session, run).id
        yield dataset_frames(session, run_id, existing_home(home), decisions=wanted)


def _report(written: "ExportSummary", target: str, as_json: bool) -> None:
    if as_json:
        print_json(written)
        return
    typer.echo(f"{written.frames} frames with {written.instances} instances in {target}")
    for note in written.notes:
        typer.echo(f"note: {note}")
    if not written.frames:
        typer.echo("nothing has that decision yet: see `maskmill status`, or add --decision review or easy")
