"""Minimum cuts of an image's grid, by SciPy's maximum flow on integer capacities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from labeling.structures.masks import BoolArray

FloatImage = NDArray[np.float64]
SCALE = 1000
"""Capacity of one unit of energy; SciPy's maximum flow takes integers."""
MAX_CAPACITY = 2**26
OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Neighbors of a pixel, one of each pair: right, down, and both diagonals."""
Pairwise = Sequence[FloatImage]
"""For each of `OFFSETS`, HxW: the cost of a cut between a pixel and that neighbor; beyond the border it is unused."""


def cut_grid(foreground_cost: FloatImage, background_cost: FloatImage, pairwise: Pairwise) -> BoolArray:
    """Return the labels (True is foreground) of least energy, HxW.

    The energy is the sum of each pixel's cost for its label, and of the pairwise costs of neighbors with
    different labels. Costs are rounded to 1 / 1000.
    """
    height, width = foreground_cost.shape
    count = height * width
    source, sink = count, count + 1
    pixels = np.arange(count)
    surplus = np.clip((background_cost - foreground_cost).ravel() * SCALE, -MAX_CAPACITY, MAX_CAPACITY)
    rows: list[NDArray[Any]] = [np.full(count, source), pixels]
    columns: list[NDArray[Any]] = [pixels, np.full(count, sink)]
    values = [np.maximum(surplus, 0), np.maximum(-surplus, 0)]
    for start, end, cost in edges(pairwise):
        capacity = np.clip(cost * SCALE, 0, MAX_CAPACITY)
        rows += [start, end]
        columns += [end, start]
        values += [capacity, capacity]
    capacities = csr_array(
        (
            np.round(np.concatenate(values)).astype(np.int32),
            (np.concatenate(rows).astype(np.int32), np.concatenate(columns).astype(np.int32)),
        ),
        shape=(count + 2, count + 2),
    )
    flow = maximum_flow(capacities, source, sink).flow
    residual = csr_array(capacities - flow)
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    labels = np.zeros(count + 2, dtype=np.bool_)
    labels[reached] = True
    return labels[:count].reshape(height, width)


def edges(
    pairwise: Pairwise,
) -> list[tuple[NDArray[Any], NDArray[Any], FloatImage]]:
    """Return for each offset the first pixels, their neighbors, and the costs, as flat arrays."""
    height, width = pairwise[0].shape
    numbers = np.arange(height * width).reshape(height, width)
    found: list[tuple[NDArray[Any], NDArray[Any], FloatImage]] = []
    for (down, right), cost in zip(OFFSETS, pairwise, strict=True):
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width - max(0, -right)))
        found.append((numbers[here].ravel(), numbers[there].ravel(), cost[here].ravel()))
    return found


def energy(
    labels: BoolArray, foreground_cost: FloatImage, background_cost: FloatImage, pairwise: Pairwise
) -> float:
    """Return the energy that `cut_grid` minimizes."""
    unary = np.where(labels, foreground_cost, background_cost).sum()
    flat = labels.ravel()
    cut = sum(float(cost[flat[start] != flat[end]].sum()) for start, end, cost in edges(pairwise))
    return float(unary) + cut
