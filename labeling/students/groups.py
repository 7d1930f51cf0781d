"""The groups of frames by which a student's quality is reported."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labeling.structures.masks import Mask

ALL = "all frames"
SMALL, LARGE = 0.01, 0.1
"""Shares of the image's area: a person below the first is small, one from the second on is large."""


def size_group(people: "Sequence[Mask]", size_hw: tuple[int, int]) -> str:
    """Return the group of a frame by its smallest person.

    >>> size_group([], (10, 10))
    'no person'
    """
    areas = [mask.area_px for mask in people if mask.area_px]
    if not areas:
        return "no person"
    share = min(areas) / (size_hw[0] * size_hw[1])
    return "small person" if share < SMALL else "large person" if share >= LARGE else "medium person"
