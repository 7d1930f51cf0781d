"""What to do after a command: lines that begin with `next:`."""

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer

from flows.cli.console import DEFAULT_HOME


def print_next(*commands: str) -> None:
    """Print the commands, most useful first; they can be pasted also where `maskmill` is not on the PATH."""
    if commands:
        typer.echo("")
    for number, command in enumerate(commands):
        typer.echo(
            ("next: " if not number else "      ") + re.sub(r"\bmaskmill (?=\w)", f"{_program()} ", command)
        )


def _program() -> str:
    beside = Path(sys.executable).with_name("maskmill")
    if shutil.which("maskmill") or not beside.exists():
        return "maskmill"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def next_after_run(counts: Mapping[str, int], home: Path) -> Iterator[str]:
    """Yield what can be done with a run that has these frames.

    >>> list(next_after_run({"sampled": 9, "accepted": 2, "review": 0}, Path("work")))
    ['maskmill open --home work', 'maskmill export coco dataset/ --home work']
    """
    there = "" if home == DEFAULT_HOME else f" --home {home}"
    if counts.get("sampled"):
        yield f"maskmill open{there}"
    if counts.get("accepted"):
        yield f"maskmill export coco dataset/{there}"
    elif counts.get("review"):
        yield f"maskmill export coco dataset/ --decision hard{there}"
    if counts.get("review"):
        yield f"maskmill review up{there} && maskmill review push{there}"
