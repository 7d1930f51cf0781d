"""`maskmill export`: write a run's frames as a dataset."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from configs.errors import ConfigError
from configs.export_formats import FORMATS, ExportedDecision, ExportFormat
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
        help="accepted, reviewed, partial, confirmed, review or easy; `hard`: all but easy ones; repeatable. Default: "
        "the first three.",
        metavar="D",
    ),
]
CompleteOption = Annotated[
    bool,
    typer.Option("--only-complete", help="Only frames in which each person is accepted or reviewed."),
]
CopyOption = Annotated[bool, typer.Option("--copy", help="Copy images instead of hard-linking them.")]


LicenseOption = Annotated[
    str,
    typer.Option(
        "--license-allow",
        help="Only frames of videos with these licenses, such as 'cc-by*,cc0'. Default: all.",
        metavar="PATTERNS",
    ),
]
BlurOption = Annotated[
    bool, typer.Option("--blur-faces", help="Blur faces in the exported images, by stored keypoints.")
]


def read_licenses(text: str) -> tuple[str, ...]:
    """Return the patterns of `--license-allow`."""
    return tuple(pattern.strip() for pattern in text.split(",")) if text else ()


@app.command()
def coco(
    target: TargetArgument,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="Polygons instead of RLE: holes are lost.")
    ] = False,
    copy: CopyOption = False,
    license_allow: LicenseOption = "",
    blur_faces: BlurOption = False,
    only_complete: CompleteOption = False,
    decisions: DecisionOption = None,
    run: RunOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """COCO instances and person keypoints, masks as RLE."""
    order = {"run": run, "copy": copy, "polygons": polygons, "only_complete": only_complete}
    filters = {"license_allow": read_licenses(license_allow), "blur_faces": blur_faces}
    _export(target, home, decisions, as_json, format="coco", **order, **filters)


def check_format(name: str) -> ExportFormat:
    """Return the name of a format.

    Raises:
        ConfigError: there is no such format.
    """
    for known in FORMATS:
        if known == name:
            return known
    raise ConfigError(f"no format {name!r}: use {', '.join(FORMATS)}")


def _add_command(format: ExportFormat) -> None:
    """Add the command of a format without options of its own."""

    @app.command(format, help=FORMATS[format].description)
    def command(
        target: TargetArgument,
        copy: CopyOption = False,
        license_allow: LicenseOption = "",
        blur_faces: BlurOption = False,
        decisions: DecisionOption = None,
        run: RunOption = None,
        home: HomeOption = DEFAULT_HOME,
        as_json: JsonOption = False,
    ) -> None:
        filters = {"license_allow": read_licenses(license_allow), "blur_faces": blur_faces}
        _export(target, home, decisions, as_json, format=format, run=run, copy=copy, **filters)


for _format in FORMATS:
    if _format != "coco":
        _add_command(_format)


def read_decisions(names: Sequence[str]) -> tuple[ExportedDecision, ...]:
    """Return the decisions of `--decision`; `hard` stands for all but easy.

    >>> read_decisions(["easy", "hard"])
    ('easy', 'accepted', 'reviewed', 'partial', 'confirmed', 'review')
    """
    known = get_args(ExportedDecision)
    hard = [decision for decision in known if decision != "easy"]
    checked = check_decisions(names, (*known, "hard"))
    return tuple(dict.fromkeys(chain.from_iterable(hard if name == "hard" else [name] for name in checked)))


def _export(target: str, home: Path, decisions: list[str] | None, as_json: bool, **order: Any) -> None:
    from db.frames.dataset import count_unreviewed
    from db.runs.queries import latest_run
    from flows.home import existing_context
    from labeling.text.figures import count_of
    from tasks.export import ExportOrder, write_dataset

    if decisions:
        order["decisions"] = read_decisions(decisions)
    context = existing_context(home)
    written = write_dataset(context, target, ExportOrder(**order))
    with context.database.session() as session:
        run_id = latest_run(session, order.get("run")).id
        left_out = 0 if decisions else count_unreviewed(session, run_id)

    def show() -> None:
        typer.echo(
            f"{count_of(written.frames, 'frame')} with {count_of(written.instances, 'instance')} in {target}, of run {run_id}"
        )
        for note in written.notes:
            typer.echo(f"note: {note}")
        if left_out:
            typer.echo(
                f"note: frames for review are not in it before annotators have seen them: {left_out}. --decision hard writes "
                "them too, with the teacher's masks as they are"
            )
        elif not written.frames:
            typer.echo(
                "no frame has that decision yet: see `maskmill status`, or add --decision hard or easy; `maskmill "
                "runs` lists other runs"
            )
        if written.frames and not as_json:
            print_next(FORMATS[order["format"]].use.format(target=target.rstrip("/")))

    emit(written, show, as_json=as_json)
