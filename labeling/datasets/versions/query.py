"""Which frames a dataset version takes: runs, decisions and conditions such as `trust>=0.9` or `license=cc-by*,cc0`."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from configs.errors import ConfigError

NUMBERS = ("trust", "expected_iou", "iou", "boundary_iou", "sharpness", "width", "height")
"""Of a frame."""
TEXTS = ("video", "kind", "title", "uploader", "license", "source")
"""Of a video; compared as patterns (`*`, `?`), in any case."""
COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"\s*([a-z_]+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*")
_FORM = "write it as NAME=VALUE, with =, !=, <, <=, > or >=, such as 'trust>=0.9'"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class NumberCondition:
    """A column of a frame compared with a number. A missing value fulfills none."""

    name: str
    sign: str
    value: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.value:g}"


@dataclass(frozen=True, slots=True)
class TextCondition:
    """A text of a video that matches one of several patterns, or with `!=` none.

    >>> TextCondition("license", "=", ("cc-by*", "cc0")).holds("CC-BY-4.0")
    True
    >>> TextCondition("license", "!=", ("cc-by-nc*",)).holds(None)
    True
    """

    name: str
    sign: str
    patterns: tuple[str, ...]

    def holds(self, text: str | None) -> bool:
        matches = any(fnmatchcase((text or "").casefold(), pattern.casefold()) for pattern in self.patterns)
        return matches == (self.sign == "=")

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{','.join(self.patterns)}"


@dataclass(frozen=True, slots=True)
class FrameQuery:
    """What a version takes. A frame of several runs is taken from the first of them."""

    runs: tuple[str, ...] = ()
    """Ids or their first digits; empty: the latest run."""
    decisions: tuple[str, ...] = ("accepted", "reviewed")
    numbers: tuple[NumberCondition, ...] = ()
    texts: tuple[TextCondition, ...] = ()

    def record(self, run_ids: Sequence[str]) -> dict[str, Any]:
        """Return the query as JSON, with the complete ids of its runs."""
        conditions = [str(one) for one in (*self.numbers, *self.texts)]
        return {"runs": list(run_ids), "decisions": list(self.decisions), "where": conditions}


def parse_query(runs: Sequence[str], decisions: Sequence[str], where: Sequence[str]) -> FrameQuery:
    """Read conditions as they are typed.

    Raises:
        ConfigError: one is not a condition, or names something unknown.

    >>> query = parse_query(["4f"], ["accepted"], ["trust >= 0.9", "license=cc-by*, cc0"])
    >>> query.numbers, query.texts
    ((NumberCondition(name='trust', sign='>=', value=0.9),), (TextCondition(name='license', sign='=', patterns=('cc-by*', 'cc0')),))
    """
    conditions = [_parse(text) for text in where]
    return FrameQuery(
        tuple(runs),
        tuple(decisions),
        tuple(one for one in conditions if isinstance(one, NumberCondition)),
        tuple(one for one in conditions if isinstance(one, TextCondition)),
    )


def _parse(text: str) -> NumberCondition | TextCondition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigError(f"--where {text!r} is not a condition: {_FORM}")
    name, sign, value = found.groups()
    if name in NUMBERS:
        return NumberCondition(name, sign, _number(text, value))
    if name not in TEXTS:
        raise ConfigError(f"--where {text!r}: {name!r} is unknown; use {', '.join((*NUMBERS, *TEXTS))}")
    if sign not in ("=", "!="):
        raise ConfigError(f"--where {text!r}: {name} is a text; compare it with = or !=")
    return TextCondition(name, sign, tuple(pattern.strip() for pattern in value.split(",")))


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as exc:
        raise ConfigError(f"--where {text!r}: {value!r} is not a number") from exc


def check_name(name: str) -> str:
    """Return the name of a dataset.

    Raises:
        ConfigError: it has other characters than letters, digits, `.`, `_` and `-`, or is too long.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a dataset: use at most 64 letters, digits, '.', '_' and '-'"
        )
    return name
