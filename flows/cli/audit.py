"""`maskmill audit`: labels of any COCO file that are probably wrong, missing people, images in two files."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import DEFAULT_HOME, ConfigOption, HomeOption, JsonOption, SetOption, emit, print_table
from flows.cli.labeled_sets import CategoryOption

if TYPE_CHECKING:
    from tasks.audit import Audit

SHOWN = 10
"""Suspects printed; the page and the JSON file have more."""


def audit(
    coco: Annotated[
        list[Path], typer.Argument(metavar="COCO.json...", help="Annotation files; several are splits.")
    ],
    images: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR", help="Folder of the images: one for all files, or one for each in order."
        ),
    ],
    config: ConfigOption = "lite",
    changes: SetOption = None,
    person_category: CategoryOption = None,
    to: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder to write audit.json and audit.html into.")
    ] = Path("audit"),
    top: Annotated[int, typer.Option(min=0, help="Suspects, and pairs of images, shown on the page.")] = 60,
    min_similarity: Annotated[
        float,
        typer.Option(min=0, max=1, help="Images of two files that are at least so similar are listed."),
    ] = 0.7,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """List labels of people that are probably wrong, people without a label, and images in two files."""
    from configs.load import load_config
    from flows.cli.working import working
    from labeling.audit.records import open_mask_file
    from tasks.files import write_file

    run_config = load_config(config, changes or [])
    if to.is_file():
        raise ConfigError(f"--to {to} is a file: name a folder")
    with working("auditing", enabled=not as_json) as update, open_mask_file() as masks:
        from labeling.storage.home import Home
        from labeling.text.figures import count_of
        from tasks.audit import audit_files, draw_audit, name_files

        found = audit_files(
            name_files(coco, images),
            run_config,
            Home(home.expanduser().resolve()),
            masks,
            config_name=config,
            person_category=person_category or [],
            min_similarity=min_similarity,
            report=lambda done: update(f"auditing: {count_of(done, 'image')}", done, None),
        )
        update("drawing", 0, None)
        page = draw_audit(found, masks, top=top)
    tree = found.to_tree()
    write_file(to / "audit.json", json.dumps(tree, indent=1).encode() + b"\n")
    write_file(to / "audit.html", page.encode())
    emit(tree, lambda: _print(found, to), as_json=as_json)


def _print(found: "Audit", to: Path) -> None:
    print_table(
        ("file", "images", "labels", "people found"),
        [(split, str(one.images), str(one.labels), str(one.people)) for split, one in found.counts.items()],
    )
    for note in found.notes:
        typer.echo(f"note: {note}")
    kinds = Counter(one.record.suspect.kind for one in found.suspects)
    typer.echo(
        f"{len(found.suspects)} suspects ({', '.join(f'{kind} {number}' for kind, number in kinds.most_common())}), "
        f"{len(found.faults)} unsound records, {len(found.leaks)} pairs of images in two files"
    )
    rows = [
        (f"{one.suspicion:.2f}", one.record.suspect.kind, one.record.image, ", ".join(one.record.annotations))
        for one in found.suspects[:SHOWN]
    ]
    if rows:
        print_table(("suspicion", "kind", "image", "annotations"), rows)
    typer.echo(f"{to / 'audit.html'}, {to / 'audit.json'}")
