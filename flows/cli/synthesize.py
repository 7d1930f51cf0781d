"""`maskmill synthesize`: people set in motion before moving backgrounds, with exact ground truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import Exit, JsonOption, SetOption, emit, print_table

if TYPE_CHECKING:
    from tasks.synthesize import SynthesisSummary


def synthesize(
    people: Annotated[
        list[str],
        typer.Option(
            metavar="COCO|FOLDER|synthetic",
            help="COCO file, YAML file of labeled sets, exported folder, or folder of PNG cut-outs; repeatable.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of the clips and their COCO file.")],
    backgrounds: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="VIDEO|IMAGE|FOLDER",
            help="Backgrounds without people; repeatable. Default: rendered rooms.",
        ),
    ] = None,
    clips: Annotated[int, typer.Option(min=1, metavar="N", help="Number of clips.")] = 20,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make clips of moving people with exact alpha, masks, tracks and optical flow.

    The same command again continues an interrupted one; with more clips, it adds them.
    """
    from configs.load import load_synthesis
    from flows.cli.working import working
    from tasks.synthesize import SynthesisOrder, synthesize_clips

    settings = load_synthesis(changes or [])
    order = SynthesisOrder(
        tuple(people), clips, to.expanduser().resolve(), tuple(backgrounds or ()), settings
    )

    with working("people and backgrounds are read", enabled=not as_json) as update:
        summary = synthesize_clips(order, lambda done, total: update(f"{done} of {total} clips", done, total))
    emit(summary, lambda: _print(summary), as_json=as_json)
    if summary.failures:
        raise typer.Exit(Exit.SOURCES_FAILED)


def _print(summary: "SynthesisSummary") -> None:
    from labeling.text.figures import count_of
    from labeling.text.phrases import format_people

    if summary.failures:
        print_table(
            ("left out", "why", "what to do"), [(f.name, f.code, f.message) for f in summary.failures]
        )
    typer.echo(
        f"{count_of(summary.clips, 'clip')} ({summary.written} new) of {format_people(summary.cutouts)} and "
        f"{count_of(summary.backgrounds, 'background')}: {count_of(summary.frames, 'frame')} with "
        f"{count_of(summary.instances, 'mask')}, {summary.seconds:.0f} s\n"
        f"clips  {summary.folder}/clips\ncoco   {summary.coco}"
    )
