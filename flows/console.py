"""What the commands print: tables for people, JSON for scripts, errors for both."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from labeling.errors import ConfigError, ExportError, MaskmillError, ModelError

if TYPE_CHECKING:
    from db.queries import Failure


class Exit(IntEnum):
    """What the shell is told."""

    DONE = 0
    STOPPED = 1
    """Disk, database or a bug: what is done is kept, run it again."""
    WRONG_USE = 2
    """Command line, config, a model that cannot be loaded, a folder that cannot be exported to."""
    SOURCES_FAILED = 3
    """Done, but for the sources that are listed."""


HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar="MASKMILL_HOME", help="Folder for the database, videos and pictures."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the config; may be repeated."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
RunOption = Annotated[
    str | None,
    typer.Option("--run", metavar="ID", help="Id of a run, or its beginning; default: the last one."),
]


class Commands(TyperGroup):
    """A group whose commands end on our errors with a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MaskmillError as error:
            complain(error)
            wrong_use = isinstance(error, ConfigError | ModelError | ExportError)
            raise typer.Exit(Exit.WRONG_USE if wrong_use else Exit.STOPPED) from error


def complain(error: MaskmillError) -> None:
    if "--json" in sys.argv:
        print_json({"error": {"code": error.code, "message": str(error)}})
    else:
        from rich.console import Console

        Console(stderr=True).print(f"[bold red]error[/] [dim]({error.code})[/] ", end="")
        Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(str(error))


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> None:
    """A table as wide as it must be where the output is a file, or as the terminal is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    Console(width=console.width if console.is_terminal else 200).print(table)


def print_failures(failures: "Sequence[Failure]") -> None:
    if failures:
        rows = [(f.what, f.code, f.message) for f in failures]
        print_table(("failed", "why", "what to do"), rows)
