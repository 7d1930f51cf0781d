"""Gives test a group of each stratum: a cause of disagreement, or a size of people.

A hash assigns the groups. Only where test then lacks a stratum, a new group with it goes to test instead of train.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from labeling.datasets.records import Split

StrataOf = Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class VideoStrata:
    """The strata of the frames that are divided."""

    by_video: StrataOf = field(default_factory=dict)
    """Of new videos."""
    older: StrataOf = field(default_factory=dict)
    """Of videos that are divided already, by split."""


@dataclass(frozen=True, slots=True)
class DrawnGroup:
    """Videos that stay together, and the split that a hash gives them."""

    videos: tuple[str, ...]
    split: Split
    drawn: float
    """0 to 1, the number that decided about the split; no two groups have the same one."""
    strata: frozenset[str]


def groups_for_test(groups: Sequence[DrawnGroup], older: StrataOf, *, test_share: float) -> list[DrawnGroup]:
    """Return the groups of train that go to test, so that it has more strata; their order does not matter.

    The one with the most strata that test lacks goes first, and among those the one with the largest number, because a slightly
    larger share of test would have taken it. Train keeps a group of each stratum, and test never gets more than its
    share of the groups, rounded up, by this.

    >>> groups = [DrawnGroup((name,), "train", drawn, frozenset({"cause miss"})) for name, drawn in (("a", 0.2), ("b", 0.7))]
    >>> [group.videos for group in groups_for_test(groups, {}, test_share=0.1)]
    [('b',)]
    """
    tested = set(older.get("test", ())).union(*(group.strata for group in groups if group.split == "test"))
    remaining = [group for group in groups if group.split == "train"]
    room = math.ceil(test_share * len(groups)) - sum(group.split == "test" for group in groups)
    chosen: list[DrawnGroup] = []
    while len(chosen) < room:
        trained = Counter(stratum for group in remaining for stratum in group.strata)
        trained.update(older.get("train", ()))
        lacking = set(trained) - tested
        candidates = [
            group
            for group in remaining
            if group.strata & lacking and min(trained[one] for one in group.strata) > 1
        ]
        if not candidates:
            break
        best = max(candidates, key=lambda group: (len(group.strata & lacking), group.drawn))
        chosen.append(best)
        remaining.remove(best)
        tested |= best.strata
    return chosen
