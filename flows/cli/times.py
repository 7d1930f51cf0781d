"""Times on the command line: seconds, `mm:ss` or `hh:mm:ss`."""

import re
from collections.abc import Callable
from typing import Any

import typer

METAVAR = "TIME"
_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)\s*s?")
_SIXTY = 60


def parse_time(text: str) -> float:
    """Return seconds.

    >>> parse_time("90"), parse_time("0:05"), parse_time("1:30.5"), parse_time("1:00:05"), parse_time("12.5 s")
    (90.0, 5.0, 90.5, 3605.0, 12.5)

    Raises:
        typer.BadParameter: it is no time.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        hint = f": write {text.strip().replace(',', '.')}" if "," in text else ""
        raise typer.BadParameter(
            f"{text!r} is not a time{hint or ': write seconds such as 90 or 12.5, or 1:30 (mm:ss), or 1:02:30 (hh:mm:ss)'}"
        )
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    if (found[2] and seconds >= _SIXTY) or (found[1] and minutes >= _SIXTY):
        raise typer.BadParameter(
            f"{text!r} is not a time: after a colon there are at most 59 minutes or seconds"
        )
    return hours * _SIXTY**2 + minutes * _SIXTY + seconds


def TimeOption(help: str, *, low: float = 0.0, high: float | None = None) -> Any:  # noqa: N802 - like typer.Option
    """Return an option that takes a time, from `low` to `high` seconds."""

    def parse(value: Any) -> float:
        seconds = parse_time(str(value))
        if seconds < low or (high is not None and seconds > high):
            range_text = f"at least {low:g} s" if high is None else f"from {low:g} to {high:g} s"
            raise typer.BadParameter(f"{value} is {seconds:g} s: give a time of {range_text}")
        return seconds

    return typer.Option(parser=_named(parse), metavar=METAVAR, help=help)


def _named(parse: Callable[[Any], float]) -> Callable[[Any], float]:
    parse.__name__ = METAVAR  # shown in the help
    return parse
