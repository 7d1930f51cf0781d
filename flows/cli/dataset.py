"""`maskmill dataset`: frozen versions of datasets, divided without leaks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.export_formats import FORMATS
from flows.cli.console import DEFAULT_HOME, Commands, HomeOption, JsonOption, emit, print_table
from flows.cli.export import (
    BlurOption,
    CopyOption,
    LicenseOption,
    check_format,
    read_decisions,
    read_licenses,
)
from flows.cli.next_steps import print_next

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.datasets.queries import VersionLine
    from tasks.datasets.create import CreatedDataset

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Freeze frames and masks as versions of a dataset."
)
VersionArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Name (the latest version), NAME@2, or the first digits of a version's id."
    ),
]


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the dataset; each call adds a version.")
    ],
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--from-run",
            metavar="ID",
            help="Run id or its first digits; repeatable. Default: the latest run.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", metavar="COND", help="Such as 'trust>=0.9' or 'license=cc-by*,cc0'; repeatable."
        ),
    ] = None,
    decisions: Annotated[
        list[str] | None,
        typer.Option(
            "--decision",
            help="accepted, reviewed, confirmed, review or easy; repeatable. Default: accepted and reviewed.",
            metavar="D",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", metavar="T/V/E", help="Percentages of train, val and test.")
    ] = "80/10/10",
    seed: Annotated[int, typer.Option(help="Another seed divides otherwise.", min=0, max=2**53 - 1)] = 0,
    frozen: Annotated[
        bool,
        typer.Option("--frozen", help="An evaluation set: all test; grows by whole videos, never changes."),
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make a version of a dataset from the masks as they are now; the same content again makes nothing."""
    from flows.home import existing_context
    from labeling.datasets.splits.assignment import Division, parse_shares
    from labeling.datasets.versions.query import parse_query
    from tasks.datasets.create import create_dataset
    from tasks.datasets.order import DatasetOrder

    chosen = read_decisions(decisions or ("accepted", "reviewed"))
    query = parse_query(runs or (), chosen, where or ())
    order = DatasetOrder(name, query, Division(parse_shares(split), seed), is_frozen=frozen)
    created = create_dataset(existing_context(home), order)
    emit(created, lambda: _show_created(created, order.division.shares), as_json=as_json)


def _show_created(created: "CreatedDataset", shares: "Sequence[float]") -> None:
    from labeling.datasets.records import SPLITS
    from labeling.text.figures import count_of

    made = created.version
    word = "created" if created.is_new else "unchanged"
    typer.echo(f"{word} {made.full_name} {made.id[:12]}: {_counts(made)}")
    for reason, count in created.excluded.items():
        typer.echo(f"left out: {count_of(count, 'frame')} {reason}")
    for name, share in zip(SPLITS, shares, strict=True):
        if share and name not in made.splits and not made.is_frozen:
            typer.echo(f"note: no frame is in {name}")
    if created.untested and "test" in made.splits:
        typer.echo(f"note: no frame in test has {' or '.join(created.untested)}; see `maskmill dataset card`")
    print_next(f"maskmill dataset export {made.name} dataset/", f"maskmill dataset show {made.name}")


def _counts(made: "VersionLine") -> str:
    from labeling.text.figures import count_of

    splits = ", ".join(f"{count} {name}" for name, count in made.splits.items())
    return (
        f"{count_of(made.frames, 'frame')} ({splits}), {count_of(made.instances, 'instance')}, "
        f"{count_of(made.videos, 'video')}"
    )


@app.command("list")
def list_all(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List all versions of all datasets."""
    from db.datasets.queries import list_versions
    from flows.home import existing_context

    with existing_context(home).database.session() as session:
        lines = list_versions(session)
    columns = ("version", "id", "created (UTC)", "frames", "train", "val", "test", "instances", "videos", "")
    rows = [
        (
            *(line.full_name, line.id[:12], f"{line.created_at:%Y-%m-%d %H:%M}", line.frames),
            *(line.splits.get(name, 0) for name in ("train", "val", "test")),
            *(line.instances, line.videos, "frozen" if line.is_frozen else ""),
        )
        for line in lines
    ]
    emit(lines, lambda: print_table(columns, rows), as_json=as_json)


@app.command()
def show(version: VersionArgument, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show what a version consists of and how it was made."""
    from flows.home import existing_context
    from labeling.text.figures import count_of
    from tasks.datasets.show import describe_version

    with existing_context(home).database.session() as session:
        found = describe_version(session, version)

    def print_details() -> None:
        made = found.version
        models = {
            f"{model['name']} ({role} of run {run['id']})": model["weights_sha256"][:12] or "no weights"
            for run in found.runs
            for role, model in run["models"].items()
        }
        rows = [
            ("version", made.full_name + (", frozen" if made.is_frozen else "")),
            ("id", made.id),
            ("created (UTC)", f"{made.created_at:%Y-%m-%d %H:%M}, maskmill {found.code_version}"),
            ("content", _counts(made)),
            ("decisions", ", ".join(found.query["decisions"])),
            ("conditions", ", ".join(found.query["where"]) or "-"),
            *(("model", f"{name}: {digest}") for name, digest in models.items()),
            *(("license", f"{name}: {count_of(count, 'video')}") for name, count in found.licenses.items()),
            *(
                ("left out", f"{count_of(count, 'frame')} {reason}")
                for reason, count in found.excluded.items()
            ),
        ]
        print_table(("", ""), rows)

    emit(found, print_details, as_json=as_json)


@app.command()
def export(
    version: VersionArgument,
    target: Annotated[
        str,
        typer.Argument(
            metavar="DIR|URL", help="Folder or s3://... URL; an earlier export there is replaced."
        ),
    ],
    format: Annotated[
        str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.", metavar="FORMAT")
    ] = "coco",
    copy: CopyOption = False,
    license_allow: LicenseOption = "",
    blur_faces: BlurOption = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write a version divided into train, val and test, with a leak certificate, a dataset card and attribution."""
    from flows.home import existing_context
    from labeling.text.figures import count_of
    from tasks.datasets.export import export_dataset_version
    from tasks.write_frames import ExportStyle

    style = ExportStyle(
        check_format(format), copy, license_allow=read_licenses(license_allow), blur_faces=blur_faces
    )
    written = export_dataset_version(existing_context(home), version, target, style)

    def print_written() -> None:
        summary = written.written
        typer.echo(
            f"{count_of(summary.frames, 'frame')} with {count_of(summary.instances, 'instance')} in {target}"
        )
        for note in summary.notes:
            typer.echo(f"note: {note}")
        found = (
            "no leak found"
            if written.is_clean
            else f"near train: {count_of(written.frames_near_train, 'frame')}"
        )
        typer.echo(f"{found}: see leak_certificate.json and leaks.html there")

    emit(written, print_written, as_json=as_json)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="Version: NAME, NAME@2 or an id.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Version to compare with.")],
    limit: Annotated[int, typer.Option(min=0, help="Frames that are listed; the counts have all.")] = 20,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """List the frames that were added, removed or changed from A to B, with the IoU of changed masks."""
    from flows.home import existing_context
    from tasks.datasets.compare_versions import compare_versions, summarize_changes

    with existing_context(home).database.session() as session:
        summary = summarize_changes(compare_versions(session, before, after), limit=limit)

    def print_changes() -> None:
        rows = [
            (
                *(change.kind, change.frame, change.decision, ", ".join(change.reviewers) or "-"),
                "; ".join(
                    one.kind if one.iou is None else f"{one.kind} (IoU {one.iou:.3f})" for one in change.masks
                ),
            )
            for change in summary.changes
        ]
        print_table(("", "frame", "decision", "reviewers", "masks"), rows)
        frames = ", ".join(f"{count} {kind}" for kind, count in summary.frames.items()) or "none"
        masks = ", ".join(f"{count} {kind}" for kind, count in summary.masks.items()) or "none"
        typer.echo(f"frames: {frames}; masks in changed frames: {masks}")

    emit(summary, print_changes, as_json=as_json)


@app.command()
def card(
    version: VersionArgument,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Markdown file to write; default: print it."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the dataset card: sources, licenses, counts, how the masks were made, known faults."""
    from db.datasets.queries import find_version
    from flows.home import existing_context
    from tasks.datasets.card import dataset_card
    from tasks.files import write_file

    with existing_context(home).database.session() as session:
        text = dataset_card(session, find_version(session, version))
    if out:
        write_file(out, text.encode())
    emit({"card": text, "file": out}, lambda: typer.echo(out or text), as_json=as_json)


@app.command("rm")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the dataset.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Delete a dataset with all its versions and splits. Exported files stay."""
    from flows.home import existing_context
    from labeling.text.figures import count_of
    from tasks.datasets.remove import remove_dataset

    context = existing_context(home)
    if not (yes or as_json):
        typer.confirm(f"delete all versions of {name}? its frames may then move between splits", abort=True)
    removed = remove_dataset(context, name)
    emit(
        {"removed": name, "versions": removed},
        lambda: typer.echo(f"deleted {count_of(removed, 'version')}"),
        as_json=as_json,
    )
