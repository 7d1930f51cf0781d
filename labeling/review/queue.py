"""The review queue: what a person's look at a frame is worth, and which frames are worth one together.

Frames are chosen greedily: again and again the one with the highest value x novelty, where novelty is
the distance of its layout from the nearest one of its shot that people are asked about. That is the
farthest-first traversal for k-center (Gonzalez, "Clustering to minimize the maximum intercluster
distance", 1985; for labels: Sener and Savarese, "Active Learning for Convolutional Neural Networks: A
Core-Set Approach", ICLR 2018), weighted by value. Novelty only falls, so what it was is a bound, and few
candidates are looked at for each choice (Minoux, "Accelerated greedy algorithms", 1978).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from labeling.review.occupancy import OccupancyGrid, occupancy_distances, stack_grids

UNKNOWN_TRUST = 0.5
"""Where nobody knows whether the teacher is right."""
NEAR_IDENTICAL = 0.1
"""Frames of a shot whose layouts are less far apart are one to people. Half a second of walking moves a
layout by 0.3 at least and 0.6 in the median (PETS 2009 S2.L1 at `lite`)."""

AT_HAND = 2000
"""Candidates that are weighed against each other at most: while so many more valuable ones wait, none is read that
could only be chosen for its novelty. Half of a million frames that wait would be read for a choice of 500."""

Shot = tuple[str, int]
"""A video, and the time in ms at which the shot began; each image of a folder is a shot of its own."""


def review_priority(*, trust: float | None, symmetric_difference_share: float) -> float:
    """Give what a look is expected to change, in [0, 1]: the probability that the teacher is wrong, times
    the share of the image's pixels that one of teacher and student has and the other has not.

    `trust`: probability that the teacher's masks are right; None: not known; NaN is no trust.
    """
    if trust is None:
        return (1 - UNKNOWN_TRUST) * symmetric_difference_share
    return (1 - trust) * symmetric_difference_share if trust >= 0 else symmetric_difference_share


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A frame that people may be asked about."""

    frame_id: int
    value: float
    shot: Shot
    occupancy: OccupancyGrid


@dataclass(frozen=True, slots=True)
class Selection:
    """What people are to be asked about, and what was passed over on the way."""

    frames: tuple[int, ...]
    """Best first: whoever stops early has seen the best part."""
    near_identical: int
    """Frames too near to another one that people are asked about."""
    beyond_shot: int
    """Frames of shots about which people are asked enough."""


def select_frames_for_review(
    candidates: Iterable[Candidate],
    *,
    most: int,
    max_per_shot: int | None = None,
    asked_of: Callable[[Shot], Sequence[OccupancyGrid]] = lambda _: (),
) -> Selection:
    """Choose at most `most` frames, of no shot more than `max_per_shot`, those of `asked_of` included.

    `candidates` come by falling value, of equals the preferred one first, and are read only as far as
    the choice needs them, at most `AT_HAND` ahead of it. `asked_of` gives the frames of a shot that
    people are asked about already: what is chosen beside them is what would have been chosen next, so
    many small choices are one large one, as long as no more than `AT_HAND` wait.
    """
    queue = _Queue(enumerate(candidates), max_per_shot, asked_of)
    chosen: list[int] = []
    while len(chosen) < most and (best := queue.take_best()):
        chosen.append(best.frame_id)
    return Selection(tuple(chosen), queue.near_identical, queue.beyond_shot)


@dataclass(order=True, slots=True)
class _Entry:
    """A candidate and what it is worth at most; the best is the least."""

    loss: float
    """Minus value x novelty, as far as it was compared."""
    position: int
    """Decides between equals."""
    candidate: Candidate = field(compare=False)
    novelty: float = field(default=1.0, compare=False)
    compared: int = field(default=0, compare=False)
    """With so many layouts of its shot."""

    def compare(self, grids: NDArray[np.float32]) -> None:
        nearest = occupancy_distances(self.candidate.occupancy, grids[self.compared :]).min()
        self.novelty = min(self.novelty, float(nearest))
        self.compared = len(grids)
        self.loss = -self.candidate.value * self.novelty


@dataclass(slots=True)
class _Queue:
    """Candidates by what they are worth beside those that were taken."""

    unread: Iterator[tuple[int, Candidate]]
    max_per_shot: int | None
    asked_of: Callable[[Shot], Sequence[OccupancyGrid]]
    near_identical: int = 0
    beyond_shot: int = 0
    _entries: list[_Entry] = field(default_factory=list)
    _upcoming: tuple[int, Candidate] | None = None
    _asked: dict[Shot, NDArray[np.float32]] = field(default_factory=dict)
    """Layouts by shot, (n, cells)."""

    def __post_init__(self) -> None:
        self._upcoming = next(self.unread, None)

    def take_best(self) -> Candidate | None:
        """The frame that is worth most now; None: there is no more."""
        while entry := self._pop():
            asked = self._grids_of(entry.candidate.shot)
            if self.max_per_shot is not None and len(asked) >= self.max_per_shot:
                self.beyond_shot += 1
            elif entry.compared == len(asked):
                occupancy = stack_grids([entry.candidate.occupancy])
                self._asked[entry.candidate.shot] = np.concatenate([asked, occupancy])
                return entry.candidate
            else:
                entry.compare(asked)
                if entry.novelty < NEAR_IDENTICAL:
                    self.near_identical += 1
                else:
                    heappush(self._entries, entry)
        return None

    def _pop(self) -> _Entry | None:
        """The entry with the highest bound; a candidate that is not read yet is worth its value at most."""
        while self._upcoming and self._wants(self._upcoming[1]):
            position, candidate = self._upcoming
            heappush(self._entries, _Entry(-candidate.value, position, candidate))
            self._upcoming = next(self.unread, None)
        return heappop(self._entries) if self._entries else None

    def _wants(self, upcoming: Candidate) -> bool:
        if not self._entries:
            return True
        return len(self._entries) < AT_HAND and upcoming.value > -self._entries[0].loss

    def _grids_of(self, shot: Shot) -> NDArray[np.float32]:
        if shot not in self._asked:
            self._asked[shot] = stack_grids(self.asked_of(shot))
        return self._asked[shot]
