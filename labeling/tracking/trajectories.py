"""Trajectories: where each annotated person stands in some frames, and between them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, TrajectoriesInvalid, UnknownPerson
from labeling.text.figures import count_of

FloatArray = NDArray[np.float64]
COLUMNS = 4
"""`frame pID x y`."""
OBSMAT_COLUMNS = 8
"""ETH's `obsmat.txt`: frame, pID, x, height, y, and three velocities."""
LONGEST_GAP = 5.0
"""A person is absent between two annotated frames that are further apart than this times the usual distance."""
SHOWN_IDS = 30
"""Ids that an error lists at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Annotated points of one person.

    >>> walk = Trajectory(7, np.array([0.0, 10.0]), np.array([[0.0, 0.0], [4.0, 2.0]]))
    >>> walk.at(5).tolist(), walk.at(11)
    ([2.0, 1.0], None)
    """

    person: int
    frames: FloatArray
    """(n,): frame numbers as they are annotated, increasing."""
    points: FloatArray
    """(n, 2): world coordinates, or pixels."""

    def at(self, frame: float) -> FloatArray | None:
        """Return the point, (2,), at a frame, linear between annotated ones; None where the person is absent."""
        if not self.frames[0] <= frame <= self.frames[-1]:
            return None
        after = int(np.searchsorted(self.frames, frame))
        if self.frames[after] == frame:
            return np.asarray(self.points[after], dtype=np.float64)
        if self.frames[after] - self.frames[after - 1] > self.longest_gap:
            return None
        return np.array([np.interp(frame, self.frames, self.points[:, axis]) for axis in (0, 1)])

    @property
    def longest_gap(self) -> float:
        """Frames between two annotations beyond which the person is absent in between."""
        return LONGEST_GAP * float(np.median(np.diff(self.frames))) if len(self.frames) > 1 else 0.0

    def speed(self, *, at_end: bool) -> FloatArray:
        """Return the velocity, (2,) per frame, at the first or last annotations; 0 for a single one."""
        if len(self.frames) < 2:  # noqa: PLR2004 - two points make a velocity
            return np.zeros(2)
        last = slice(-3, None) if at_end else slice(0, 3)
        frames, points = self.frames[last], self.points[last]
        return np.asarray((points[-1] - points[0]) / (frames[-1] - frames[0]))


def read_trajectories(path: Path) -> dict[int, Trajectory]:
    """Read `frame pID x y`, separated by spaces, tabs or commas; `#` begins a comment.

    ETH's `obsmat.txt` (eight columns) is understood too.

    Raises:
        TrajectoriesInvalid: the file cannot be read, or a line is wrong; the message has its number.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise TrajectoriesInvalid(f"trajectories {path} cannot be read: {exc}; check the path") from exc
    return parse_trajectories(text.splitlines(), origin=str(path))


def parse_trajectories(lines: Iterable[str], *, origin: str) -> dict[int, Trajectory]:
    """Group lines by person, each in order of its frames; see `read_trajectories`."""
    rows: dict[int, dict[float, tuple[float, float]]] = {}
    for number, values in _read_lines(lines, origin):
        frame, person, x, y = values
        of_person = rows.setdefault(int(person), {})
        if of_person.setdefault(frame, (x, y)) != (x, y):
            raise TrajectoriesInvalid(
                f"trajectories {origin}: line {number}: person {person:g} has another point in frame "
                f"{frame:g} before: keep one of them"
            )
    if not rows:
        raise TrajectoriesInvalid(f"trajectories {origin}: no line `frame pID x y` in it")
    return {person: _make(person, points) for person, points in sorted(rows.items())}


def _make(person: int, points: Mapping[float, tuple[float, float]]) -> Trajectory:
    frames = sorted(points)
    return Trajectory(person, np.array(frames), np.array([points[frame] for frame in frames]))


def _read_lines(lines: Iterable[str], origin: str) -> Iterator[tuple[int, tuple[float, float, float, float]]]:
    for number, line in enumerate(lines, start=1):
        content = line.partition("#")[0].replace(",", " ").split()
        if not content:
            continue
        values = _to_numbers(content, f"trajectories {origin}: line {number}")
        if len(values) == OBSMAT_COLUMNS:
            values = [values[0], values[1], values[2], values[4]]
        frame, person, x, y = values
        if person < 1 or person % 1:
            raise TrajectoriesInvalid(
                f"trajectories {origin}: line {number}: the id {content[1]} is not a whole number from 1: "
                "renumber the people"
            )
        yield number, (frame, person, x, y)


def _to_numbers(content: Sequence[str], where: str) -> list[float]:
    try:
        values = [float(one) for one in content]
    except ValueError as exc:
        raise TrajectoriesInvalid(f"{where}: {exc}; write `frame pID x y`, # before a comment") from exc
    if len(values) not in (COLUMNS, OBSMAT_COLUMNS):
        raise TrajectoriesInvalid(
            f"{where} has {count_of(len(values), 'column')}: write four, `frame pID x y`"
        )
    if not all(map(math.isfinite, values)):
        raise TrajectoriesInvalid(
            f"{where}: {' '.join(content)} has a number that is not finite: remove the line"
        )
    return values


def select_people(trajectories: Mapping[int, Trajectory], people: Sequence[int] | None) -> list[int]:
    """Return the ids to segment; None: all.

    Raises:
        UnknownPerson: an id that has no trajectory; the message lists those that have one.
    """
    if people is None:
        return sorted(trajectories)
    unknown = sorted(set(people) - set(trajectories))
    if unknown:
        known = ", ".join(map(str, sorted(trajectories)[:SHOWN_IDS]))
        more = f" and {len(trajectories) - SHOWN_IDS} more" if len(trajectories) > SHOWN_IDS else ""
        raise UnknownPerson(
            f"no trajectory of person {', '.join(map(str, unknown))}: the file has {known}{more}"
        )
    return sorted(set(people))


def parse_people(text: str) -> list[int] | None:
    """Return the ids of `3,7`, or None for `all`.

    >>> parse_people("7, 3"), parse_people("all")
    ([7, 3], None)
    """
    if text.strip() == "all":
        return None
    try:
        return [int(one) for one in text.replace(",", " ").split()]
    except ValueError as exc:
        raise ConfigError(f"person {text!r}: write ids such as 3 or 3,7, or `all`") from exc
