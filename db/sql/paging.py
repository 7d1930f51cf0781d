"""Long lists of ids in parts that a database takes in one statement."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

PAGE = 500
"""SQLite before 3.32 takes 999 parameters."""

Id = TypeVar("Id", int, str)


def pages(ids: Sequence[Id], size: int = PAGE) -> Iterator[Sequence[Id]]:
    """Parts of at most `size`, in order.

    >>> list(pages([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
