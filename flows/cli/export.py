"""`maskmill export`: write a run's frames as a dataset."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from flows.cli.browse import check_decisions
from flows.cli.console import DEFAULT_HOME, Commands, HomeOption, JsonOption, RunOption, emit
from flows.cli.next_steps import print_next

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Write a run's frames as a dataset.")

TargetArgument = Annotated[
    str,
    typer.Argument(metavar="DIR|URL", help="Folder or s3://... URL; an earlier export there is replaced."),
]
DecisionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--decision",
        help="accepted, reviewed, partial, confirmed, review or easy; repeatable. Default: the first three.",
        metavar="D",
    ),
]
CompleteOption = Annotated[
    bool,
    typer.Option("--only-complete", help="Only frames in which each person is accepted or reviewed."),
]
CopyOption = Annotated[bool, typer.Option("--copy", help="Copy images instead of hard-linking them.")]


_NEXT = {
    "coco": "load {target}/annotations/instances.json with pycocotools, torchvision or FiftyOne",
    "yolo-seg": "yolo segment train data={target}/data.yaml model=yolo11n-seg.pt",
}
"""How a dataset is used, by format."""


@app.command()
def coco(
    target: TargetArgument,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="Polygons instead of RLE: holes are lost.")
    ] = False,
    copy: CopyOption = False,
    only_complete: CompleteOption = False,
    decisions: DecisionOption = None,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """COCO instances and person keypoints, masks as RLE."""
    order = {"run": run, "copy": copy, "polygons": polygons, "only_complete": only_complete}
    _export(target, home, decisions, as_json, format="coco", **order)


def _add_command(format: str, description: str) -> None:
    """Add the command of a format without options of its own."""

    @app.command(format, help=description)
    def command(
        target: TargetArgument,
        copy: CopyOption = False,
        decisions: DecisionOption = None,
        run: RunOption = None,
        home: HomeOption = DEFAULT_HOME,
        as_json: JsonOption = False,
    ) -> None:
        _export(target, home, decisions, as_json, format=format, run=run, copy=copy)


_add_command("yolo-seg", "Ultralytics YOLO polygons; holes are lost.")
_add_command("masks", "One PNG per frame; the pixel value is the instance number.")
_add_command("mots", "MOTS: tracks as 16-bit PNG files and gt.txt, one folder per video.")
_add_command("youtube-vis", "YouTube-VIS: one JSON file with the masks of each track.")


def _export(target: str, home: Path, decisions: list[str] | None, as_json: bool, **order: Any) -> None:
    from configs.models import ExportedDecision
    from flows.home import existing_context
    from tasks.export import ExportOrder, write_dataset

    if decisions:
        order["decisions"] = check_decisions(decisions, get_args(ExportedDecision))
    written = write_dataset(existing_context(home), target, ExportOrder(**order))

    def show() -> None:
        typer.echo(f"{written.frames} frames with {written.instances} instances in {target}")
        for note in written.notes:
            typer.echo(f"note: {note}")
        if not written.frames:
            typer.echo(
                "no frame has that decision yet: see `maskmill status`, or add --decision review or easy; `maskmill "
                "runs` lists other runs"
            )
        elif not as_json:
            print_next(_NEXT.get(order["format"], f"train on {target}").format(target=target.rstrip("/")))

    emit(written, show, as_json=as_json)
