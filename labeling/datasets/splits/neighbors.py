"""Near-duplicates among frames: groups that have some, and the nearest neighbor of each frame.

All frames are compared with all by products of matrices; the most similar pairs are then compared exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeling.datasets.splits.descriptors import COARSE, Vectors
from labeling.datasets.splits.similarity import NEAR, similarities
from labeling.datasets.splits.thumbnail_file import ThumbnailFile

COARSE_NEAR = 0.72
"""Correlation of vectors from which a pair is compared exactly. Crops of 5 % stayed above 0.8."""
_ROWS, _COLUMNS = 512, 2048
_PER_PAIR = 3
"""Most similar frames of two groups in a block that are compared exactly."""
_NEIGHBORS = 5
"""Most similar frames that are compared exactly for the nearest one."""
Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NearestFrames:
    """The nearest reference of each query."""

    positions: Positions
    """-1: there is no reference."""
    similarities: NDArray[np.float32]


def near_groups(
    file: ThumbnailFile, groups: Positions, new: Positions, known: Positions
) -> set[tuple[int, int]]:
    """Return the pairs of groups with a near-duplicate of a new frame among the new and the known ones.

    Args:
        file: the small images.
        groups: group of each frame; frames of one group are not compared.
        new, known: positions of frames.
    """
    found: set[tuple[int, int]] = set()
    for first in range(0, len(new), _ROWS):  # each pair of new frames once
        columns = np.concatenate([new[first:], known])
        found |= _near_in(_blocks(file, new[first : first + _ROWS], columns), file, groups, found)
    return found


def _near_in(
    blocks: Iterator[tuple[Positions, Positions, Vectors]],
    file: ThumbnailFile,
    groups: Positions,
    known: set[tuple[int, int]],
) -> set[tuple[int, int]]:
    """Return the pairs of groups with near-duplicates in these blocks; the known ones are not compared again."""
    found: set[tuple[int, int]] = set()
    for some_rows, some_columns, products in blocks:
        of_rows, of_columns = groups[some_rows], groups[some_columns]
        at = np.flatnonzero(products.ravel() >= COARSE_NEAR)
        one, other = np.divmod(at, len(some_columns))
        is_apart = of_rows[one] != of_columns[other]
        at, one, other = at[is_apart], one[is_apart], other[is_apart]
        pairs = np.sort(np.stack([of_rows[one], of_columns[other]], axis=1), axis=1)
        chosen = _most_similar(pairs, products.ravel()[at], known | found)
        first = file.thumbnails(some_rows[one[chosen]])
        second = file.thumbnails(some_columns[other[chosen]])
        is_near = similarities(first, second) >= NEAR
        found |= {(int(low), int(high)) for low, high in pairs[chosen][is_near]}
    return found


def _most_similar(pairs: Positions, products: NDArray[np.float32], known: set[tuple[int, int]]) -> Positions:
    """Return the positions of at most `_PER_PAIR` most similar frames of each pair of groups not known yet."""
    order = np.lexsort((-products, pairs[:, 1], pairs[:, 0]))
    ordered = pairs[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(begins)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    is_new = [tuple(pair) not in known for pair in ordered[starts].tolist()]
    keep = np.repeat(np.array(is_new, dtype=bool), np.diff(np.append(starts, len(order))))
    return np.asarray(order[(rank < _PER_PAIR) & keep], dtype=np.int64)


def nearest_frames(file: ThumbnailFile, queries: Positions, references: Positions) -> NearestFrames:
    """Return the nearest reference of each query, by the exact similarity of the most similar ones."""
    count = min(_NEIGHBORS, len(references))
    best = np.full((len(queries), count), -2.0, dtype=np.float32)
    found = np.full((len(queries), count), -1, dtype=np.int64)
    at = {int(position): number for number, position in enumerate(queries)}
    for rows, columns, products in _blocks(file, queries, references):
        here = [at[int(position)] for position in rows]
        top = _largest(products, count)
        values = np.concatenate([best[here], np.take_along_axis(products, top, axis=1)], axis=1)
        places = np.concatenate([found[here], columns[top]], axis=1)
        top = _largest(values, count)
        best[here] = np.take_along_axis(values, top, axis=1)
        found[here] = np.take_along_axis(places, top, axis=1)
    if not count:
        return NearestFrames(np.full(len(queries), -1, dtype=np.int64), np.full(len(queries), -1, np.float32))
    return _exact(file, queries, found)


def _largest(values: NDArray[np.float32], count: int) -> Positions:
    """Return the columns of the largest values of each row, at most so many."""
    return np.argpartition(values, -min(count, values.shape[1]), axis=1)[:, -count:]


def _exact(file: ThumbnailFile, queries: Positions, found: Positions) -> NearestFrames:
    count = found.shape[1]
    values = np.empty(found.shape, dtype=np.float32)
    for at in range(0, len(queries), _ROWS):
        some = slice(at, at + _ROWS)
        first = file.thumbnails(np.repeat(queries[some], count))
        exact = similarities(first, file.thumbnails(found[some].ravel()))
        values[some] = exact.reshape(-1, count)
    top = values.argmax(axis=1)[:, None]
    return NearestFrames(
        np.take_along_axis(found, top, axis=1)[:, 0], np.take_along_axis(values, top, axis=1)[:, 0]
    )


def _blocks(
    file: ThumbnailFile, rows: Positions, columns: Positions
) -> Iterator[tuple[Positions, Positions, Vectors]]:
    """Yield blocks of correlations, mirrored or not, whichever is larger."""
    for first in range(0, len(rows), _ROWS):
        some_rows = rows[first : first + _ROWS]
        even, odd = _halves(file.vectors(some_rows))
        for start in range(0, len(columns), _COLUMNS):
            some_columns = columns[start : start + _COLUMNS]
            other_even, other_odd = _halves(file.vectors(some_columns))
            products, of_odd = even @ other_even.T, odd @ other_odd.T
            products += np.abs(of_odd, out=of_odd)  # the larger of the image and the flipped one
            yield some_rows, some_columns, products


def _halves(vectors: Vectors) -> tuple[Vectors, Vectors]:
    return vectors[:, : COARSE // 2], vectors[:, COARSE // 2 :]
