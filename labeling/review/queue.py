"""The review queue: the priority of each frame, and the set of frames that is most useful to review together.

Frames are chosen greedily: repeatedly the one with the highest value x novelty. Novelty is the distance of
its occupancy grid from the nearest one of its shot that is already selected for review. This is
farthest-first traversal for k-center (Gonzalez, "Clustering to minimize the maximum intercluster distance",
1985; for labels: Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
Approach", ICLR 2018), weighted by value. Novelty only falls, so an old value is an upper bound and few
candidates are compared for each choice (Minoux, "Accelerated greedy algorithms", 1978).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from labeling.review.occupancy import OccupancyGrid, occupancy_distances, stack_grids

UNKNOWN_TRUST = 0.5
"""Assumed where no trust was computed."""
NEAR_IDENTICAL = 0.1
"""Frames of a shot whose grids are closer than this look the same to people. Half a second of walking
moves a grid by 0.3 at least and by 0.6 in the median (PETS 2009 S2.L1 at `lite`)."""
MAX_COMPARED = 2000
"""Limit of candidates that are compared at a time: while so many more valuable ones wait, none is read that
could only be chosen for its novelty. Without it, choosing 500 of a million frames would read half of them."""

Shot = tuple[str, int]
"""Video id, and start of the shot in ms; each image of a folder is its own shot."""


def review_priority(*, trust: float | None, symmetric_difference_share: float) -> float:
    """Return the expected change by a review, in [0, 1].

    This is the probability that the teacher is wrong, times the share of the image's pixels that exactly
    one of teacher and student marks. `trust`: probability that the teacher's masks are right; None if
    unknown; NaN counts as 0.
    """
    if trust is None:
        return (1 - UNKNOWN_TRUST) * symmetric_difference_share
    return (1 - trust) * symmetric_difference_share if trust >= 0 else symmetric_difference_share


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A frame that may be selected for review."""

    frame_id: int
    value: float
    shot: Shot
    occupancy: OccupancyGrid


@dataclass(frozen=True, slots=True)
class Selection:
    """The frames to review, and how many candidates were skipped."""

    frames: tuple[int, ...]
    """Best first."""
    near_identical: int
    """Skipped because they are too similar to a selected frame."""
    beyond_shot: int
    """Skipped because enough frames of their shot are selected."""


def select_frames_for_review(
    candidates: Iterable[Candidate],
    *,
    most: int,
    max_per_shot: int | None = None,
    asked_of: Callable[[Shot], Sequence[OccupancyGrid]] = lambda _: (),
) -> Selection:
    """Select at most `most` frames, and at most `max_per_shot` per shot, those of `asked_of` included.

    `candidates` come by falling value, of equal ones the preferred first. They are read only as far as
    needed, at most `MAX_COMPARED` ahead. `asked_of` returns the grids of a shot that were already sent for
    review. Many small selections therefore give the same frames as one large selection, as long as at
    most `MAX_COMPARED` candidates wait.
    """
    queue = _Queue(enumerate(candidates), max_per_shot, asked_of)
    chosen: list[int] = []
    while len(chosen) < most and (best := queue.take_best()):
        chosen.append(best.frame_id)
    return Selection(tuple(chosen), queue.near_identical, queue.beyond_shot)


@dataclass(order=True, slots=True)
class _Entry:
    """A candidate with an upper bound of its value x novelty; the best entry is the smallest."""

    loss: float
    """Minus value x novelty, against the grids compared so far."""
    position: int
    """Orders entries with equal loss."""
    candidate: Candidate = field(compare=False)
    novelty: float = field(default=1.0, compare=False)
    compared: int = field(default=0, compare=False)
    """Number of grids of its shot that it was compared with."""

    def compare(self, grids: NDArray[np.float32]) -> None:
        nearest = occupancy_distances(self.candidate.occupancy, grids[self.compared :]).min()
        self.novelty = min(self.novelty, float(nearest))
        self.compared = len(grids)
        self.loss = -self.candidate.value * self.novelty


@dataclass(slots=True)
class _Queue:
    """Candidates, ordered by the upper bound of their value x novelty."""

    unread: Iterator[tuple[int, Candidate]]
    max_per_shot: int | None
    asked_of: Callable[[Shot], Sequence[OccupancyGrid]]
    near_identical: int = 0
    beyond_shot: int = 0
    _entries: list[_Entry] = field(default_factory=list)
    _upcoming: tuple[int, Candidate] | None = None
    _selected: dict[Shot, NDArray[np.float32]] = field(default_factory=dict)
    """Grids by shot, (n, cells)."""

    def __post_init__(self) -> None:
        self._upcoming = next(self.unread, None)

    def take_best(self) -> Candidate | None:
        """Select the best candidate; None: there is none left."""
        while entry := self._pop():
            shot = entry.candidate.shot
            if shot not in self._selected:
                self._selected[shot] = stack_grids(self.asked_of(shot))
            selected = self._selected[shot]
            if self.max_per_shot is not None and len(selected) >= self.max_per_shot:
                self.beyond_shot += 1
            elif entry.compared == len(selected):
                self._selected[shot] = np.concatenate([selected, stack_grids([entry.candidate.occupancy])])
                return entry.candidate
            else:
                entry.compare(selected)
                if entry.novelty < NEAR_IDENTICAL:
                    self.near_identical += 1
                else:
                    heappush(self._entries, entry)
        return None

    def _pop(self) -> _Entry | None:
        """Return the entry with the highest bound; the bound of an unread candidate is its value."""
        while self._upcoming and self._must_read(self._upcoming[1]):
            position, candidate = self._upcoming
            heappush(self._entries, _Entry(-candidate.value, position, candidate))
            self._upcoming = next(self.unread, None)
        return heappop(self._entries) if self._entries else None

    def _must_read(self, upcoming: Candidate) -> bool:
        if not self._entries:
            return True
        return len(self._entries) < MAX_COMPARED and upcoming.value > -self._entries[0].loss
