"""A second implementation of boundary IoU and of the causes, on whole arrays of pixels.

Written from the definitions in labeling/comparison/boundary_iou.py and labeling/comparison/mismatches.py, for comparison.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from labeling.structures.agreement import Cause, Match, Mismatch
from labeling.structures.masks import BoolArray

Member = tuple[str, int]
"""A side, "teacher" or "student", and the position there."""
Members = frozenset[Member]


def slow_band(image: BoolArray, width_px: int) -> BoolArray:
    square = np.ones((3, 3), dtype=np.bool_)
    eroded = ndimage.binary_erosion(image, square, iterations=width_px, border_value=0)
    return np.asarray(image & ~eroded, dtype=np.bool_)


def slow_boundary_iou(first: BoolArray, second: BoolArray) -> float:
    if not first.any() and not second.any():
        return 1.0
    width_px = max(1, round(0.02 * math.sqrt(first.shape[0] ** 2 + first.shape[1] ** 2)))
    ours, theirs = slow_band(first, width_px), slow_band(second, width_px)
    return float((ours & theirs).sum() / (ours | theirs).sum())


@dataclass(frozen=True)
class Group:
    cause: Cause
    whole: Member
    parts: Members
    common: int

    @property
    def members(self) -> Members:
        return self.parts | {self.whole}


class SlowCauses:
    def __init__(
        self, teacher: Sequence[BoolArray], student: Sequence[BoolArray], matches: Sequence[Match]
    ) -> None:
        sides = (("teacher", teacher), ("student", student))
        self.pixels = {(side, i): mask for side, masks in sides for i, mask in enumerate(masks)}
        self.people = frozenset(member for member, mask in self.pixels.items() if mask.any())
        pairs = [(("teacher", m.teacher), ("student", m.student)) for m in matches]
        self.partner: dict[Member, Member] = {**dict(pairs), **{b: a for a, b in pairs}}

    def joint(self, members: Members) -> BoolArray:
        pixels = next(iter(self.pixels.values())) & False
        for member in members:
            pixels = pixels | self.pixels[member]
        return pixels

    def common(self, first: Members, second: Members) -> int:
        return int(np.count_nonzero(self.joint(first) & self.joint(second)))

    def is_half_in(self, members: Members, others: Members) -> bool:
        return self.common(members, others) >= np.count_nonzero(self.joint(members)) / 2

    def groups(self, free: Members) -> list[Group]:
        found = []
        for whole in free:
            alone = frozenset({whole})
            parts = frozenset(
                part
                for part in free
                if part[0] != whole[0]
                and self.partner.get(part, whole) == whole
                and self.is_half_in(frozenset({part}), alone)
            )
            if len(parts) >= 2 and self.is_half_in(alone, parts):
                cause: Cause = "split" if whole[0] == "teacher" else "merge"
                found.append(Group(cause, whole, parts, self.common(alone, parts)))
        return found

    def find(self) -> set[Mismatch]:
        found: list[tuple[Cause, Members]] = []
        free = self.people
        while groups := self.groups(free):
            best = max(groups, key=lambda g: (g.common, len(g.parts), -g.whole[1], g.cause == "merge"))
            found.append((best.cause, best.members))
            free = free - best.members
        for member in free - set(self.partner):
            other_side = frozenset(other for other in self.pixels if other[0] != member[0])
            if not self.is_half_in(frozenset({member}), other_side):
                found.append(("miss" if member[0] == "teacher" else "extra", frozenset({member})))
                free = free - {member}
        found += [("boundary", frozenset(pair)) for pair in self.loose_pairs(free)]
        return {self.mismatch(cause, members) for cause, members in found}

    def loose_pairs(self, free: Members) -> list[tuple[Member, Member]]:
        return [
            (one, two)
            for one in free
            for two in free
            if (one[0], two[0]) == ("teacher", "student")
            and self.are_a_pair(one, two)
            and slow_boundary_iou(self.pixels[one], self.pixels[two]) < 0.5
        ]

    def are_a_pair(self, one: Member, two: Member) -> bool:
        if one in self.partner or two in self.partner:
            return self.partner.get(one) == two
        first, second = frozenset({one}), frozenset({two})
        return self.is_half_in(first, second) and self.is_half_in(second, first)

    def mismatch(self, cause: Cause, members: Members) -> Mismatch:
        ours, theirs = (frozenset(m for m in members if m[0] == side) for side in ("teacher", "student"))
        iou = self.common(ours, theirs) / np.count_nonzero(self.joint(members))
        teacher, student = (tuple(sorted(i for _, i in side)) for side in (ours, theirs))
        return Mismatch(cause, teacher, student, float(iou))


def slow_causes(
    teacher: Sequence[BoolArray], student: Sequence[BoolArray], matches: Sequence[Match]
) -> set[Mismatch]:
    return SlowCauses(teacher, student, matches).find()


def find_groups(
    teacher: Sequence[BoolArray], student: Sequence[BoolArray], matches: Sequence[Match]
) -> list[Group]:
    """All splits and merges there could be, without regard to one another."""
    slow = SlowCauses(teacher, student, matches)
    return slow.groups(slow.people)
