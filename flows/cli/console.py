"""Options that commands share, and what they print: tables for people, JSON for scripts, errors for both."""

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from configs.environment import HOME
from configs.errors import ConfigError, ExportError, MaskmillError, ModelError, SourceError

if TYPE_CHECKING:
    from db.runs.queries import Failure
    from labeling.sources.passed_over import PassedOver


class Exit(IntEnum):
    """Exit codes of all commands."""

    DONE = 0
    STOPPED = 1
    """Disk, database or a bug: finished work is kept, run the command again."""
    WRONG_USE = 2
    """Command line, config, a model that cannot be loaded, a folder that cannot be exported to."""
    SOURCES_FAILED = 3
    """Done, except for the sources listed."""
    NOTHING_READ = 4
    """Every source failed or held nothing readable."""
    INTERRUPTED = 130
    """Ctrl-C, as for any program of a shell."""


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that move the cursor, change the terminal or turn the direction of writing."""
DEFAULT_HOME = Path(".maskmill")
SourcesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="SOURCE...", help="Video, folder, glob, archive, list, URL or camera."),
]
ConfigOption = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="NAME|FILE",
        help="best, default, lite, lite-heavy, moving, offline, surveillance, or a YAML file.",
    ),
]
AnyConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="NAME|FILE",
        help="best, default, lite, lite-heavy, moving, offline, surveillance, or a YAML file. Without it: the best preset whose parts "
        "are installed.",
    ),
]
HomeOption = Annotated[
    Path,
    typer.Option("--home", envvar=HOME.name, help="Folder of the database, videos and images."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one config value; repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
RunOption = Annotated[
    str | None,
    typer.Option("--run", metavar="ID", help="Run id or its first digits; default: the latest run."),
]
FiguresOption = Annotated[
    Path | None, typer.Option("--figures", metavar="FILE", help="Write all figures as JSON.")
]

UsageError: Any = typer.BadParameter.__mro__[1]
"""Base class of the option parser's errors; its module differs between versions of Typer."""


class Commands(TyperGroup):
    """A command group that turns maskmill's errors into one sentence and an exit code."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **kwargs: Any) -> Any:
        with _handle_errors():
            for argument in args:
                _refuse_undecodable(argument)
            return super().make_context(info_name, args, *rest, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _handle_errors():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a subcommand; an unknown one is refused with the names of all."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            if "Did you mean" not in error.message:
                error.message = f"{error.message.rstrip('.')}; there are {', '.join(self.commands)}"
            raise


def _refuse_undecodable(argument: str) -> None:
    """Raise `ConfigError` for a name that is not UTF-8: neither Prefect nor a database can store it."""
    try:
        argument.encode()
    except UnicodeEncodeError as exc:
        shown = argument.encode(errors="replace").decode()
        raise ConfigError(f"{shown}: the name is not UTF-8: rename it, or name its folder") from exc


@contextmanager
def _handle_errors() -> Iterator[None]:
    try:
        yield
    except MaskmillError as error:
        print_error(error)
        raise typer.Exit(_exit_code(error)) from error
    except UsageError as error:
        if not _json_requested():
            raise
        _print_json_error("usage", error.format_message())
        raise typer.Exit(Exit.WRONG_USE) from error
    except KeyboardInterrupt as error:
        typer.echo("\nstopped", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from error
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # at a question
            raise typer.Exit(Exit.INTERRUPTED) from error
        raise
    except typer.Exit:
        raise
    except Exception as error:
        if (full := _disk_full(error)) is None:
            raise
        print_error(full)
        raise typer.Exit(Exit.STOPPED) from error


def _disk_full(error: Exception) -> MaskmillError | None:
    from labeling.storage.atomic import disk_full

    return disk_full(error)


def _exit_code(error: MaskmillError) -> Exit:
    if isinstance(error, SourceError):
        return Exit.NOTHING_READ
    return Exit.WRONG_USE if isinstance(error, ConfigError | ModelError | ExportError) else Exit.STOPPED


def require_sources(sources: list[str] | None) -> list[str]:
    """Return the sources of a command line.

    Raises:
        ConfigError: there is none, or one contains a password.
    """
    from labeling.sources.url_policy import refuse_passwords

    if not sources:
        raise ConfigError("no sources: name a file, folder, glob, archive, list, URL or camera")
    refuse_passwords(sources)
    return sources


def chosen_config(config: str | None) -> str:
    """Return the named config, or the best preset that is installed here; the choice is printed to stderr."""
    if config is not None:
        return config
    from labeling.segmenters.requirements import choose_preset

    choice = choose_preset()
    typer.echo(f"preset {choice.name}: {choice.reason} (--config names another)", err=True)
    return choice.name


def emit(value: Any, show: Callable[[], None], *, as_json: bool) -> None:
    """Print `value` as JSON, or call `show`, which prints it for people."""
    if as_json:
        print_json(value)
    else:
        show()


def print_error(error: MaskmillError) -> None:
    if _json_requested():
        _print_json_error(error.code, str(error))
    else:
        from rich.console import Console

        Console(stderr=True).print(f"[bold red]error[/] [dim]({error.code})[/] ", end="")
        Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(without_control(str(error)))


def without_control(text: str) -> str:
    """Return the text with `?` for control characters: the names of files and titles are those of strangers.

    >>> without_control("a" + chr(27) + "[2J.mp4")
    'a?[2J.mp4'
    """
    return _CONTROL.sub("?", text)


def warn(message: str) -> None:
    """Print a warning to stderr."""
    typer.secho(f"warning: {without_control(message)}", err=True, fg=typer.colors.YELLOW)


def _json_requested() -> bool:
    return "--json" in sys.argv


def _print_json_error(code: str, message: str) -> None:
    print_json({"error": {"code": code, "message": message}})


def print_json(value: Any) -> None:
    typer.echo(to_json(value))


def to_json(value: Any) -> str:
    """Return dataclasses, times, paths and plain values as JSON for people and programs."""
    return json.dumps(value, default=_plain, indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def format_cell(value: object) -> str:
    """Format a table cell: floats with three decimals, None as `-`.

    >>> format_cell(0.81249), format_cell(12), format_cell(None)
    ('0.812', '12', '-')
    """
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    styles: Mapping[str, str] | None = None,
    whole: Collection[str] = (),
) -> None:
    """Print a table as wide as the terminal, or without wrapping where the output is a file.

    `styles` gives the style of a cell by its text; the cells of the columns `whole` are never cut.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column in whole, overflow="ignore" if column in whole else "fold")
    for row in rows:
        cells = [without_control(str(cell)) for cell in row]
        table.add_row(*(Text(cell, (styles or {}).get(cell, "")) for cell in cells))
    Console(width=table_width()).print(table)


def table_width() -> int:
    """Return the width of a table in characters: that of the terminal, or enough for a file."""
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal else 200


def print_passed_over(found: "Sequence[PassedOver]") -> None:
    """Print what was not looked at, if there is something."""
    if found:
        rows = [(one.spec, one.count, one.reason, ", ".join(one.examples)) for one in found]
        print_table(("not looked at, or noted, in", "number", "what, and what to do", "for example"), rows)


def print_failures(failures: "Sequence[Failure]") -> None:
    if failures:
        rows = [(f.what, f.code, f.message) for f in failures]
        print_table(("failed", "why", "what to do"), rows)
