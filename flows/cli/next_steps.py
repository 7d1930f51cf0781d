"""What to do after a command: lines that begin with `next:`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import typer

from flows.cli.console import DEFAULT_HOME


def print_next(*commands: str) -> None:
    """Print the commands, most useful first."""
    if commands:
        typer.echo("")
    for number, command in enumerate(commands):
        typer.echo(("next: " if not number else "      ") + command)


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
    if counts.get("review"):
        yield f"maskmill review up{there} && maskmill review push{there}"
