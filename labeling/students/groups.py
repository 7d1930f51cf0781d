"""The groups of frames by which a student's quality is reported, and by which splits are counted."""

ALL = "all frames"
SMALL, LARGE = 0.01, 0.1
"""Shares of the image's area: a person below the first is small, one from the second on is large."""


def size_group(smallest_px: int | None, size_hw: tuple[int, int]) -> str:
    """Return the group of a frame by the area of its smallest person.

    >>> size_group(None, (10, 10)), size_group(3, (10, 10))
    ('no person', 'medium person')
    """
    if smallest_px is None:
        return "no person"
    share = smallest_px / (size_hw[0] * size_hw[1])
    return "small person" if share < SMALL else "large person" if share >= LARGE else "medium person"
