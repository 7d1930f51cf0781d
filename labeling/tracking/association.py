"""Costs of taking an instance for a continuation of a track, and the cheapest assignment.

cost = `OVERLAP` (1 - overlap) + `COLOR` (distance of colors) + `MOTION` (distance from the predicted place),
where overlap is the IoU (see `mask_overlaps`) of the instance's mask with the track's mask, moved by optical flow or
by the track's velocity, whichever is larger.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labeling.tracking.crops import MaskCrop, MaskPoints

FloatArray = NDArray[np.float64]
OVERLAP, COLOR, MOTION = 0.4, 0.4, 0.2
"""Weights of the parts of a cost; their sum is 1."""
IMPOSSIBLE = 1e6


def mask_overlaps(moved: Sequence[MaskPoints], masks: Sequence[MaskCrop]) -> FloatArray:
    """Return the pairwise overlap of moved masks with masks in [0, 1], (len(moved), len(masks)).

    It is the IoU, or the common share of the smaller mask where the image's border cuts a mask off: a person who
    comes into view grows from frame to frame.
    """
    overlaps = np.zeros((len(moved), len(masks)))
    for i, points in enumerate(moved):
        corners = points.corners
        for j, mask in enumerate(masks):
            if mask.meets(corners):
                common = mask.share_inside(points) * points.area_px
                smaller, both = min(points.area_px, mask.area_px), points.area_px + mask.area_px - common
                overlaps[i, j] = common / max(smaller if mask.is_cut_off else both, 1)
    return np.minimum(overlaps, 1.0)


def combine_costs(overlap: FloatArray, color: FloatArray, motion: FloatArray) -> FloatArray:
    """Return the pairwise costs; `motion` is the squared distance over its gate, above 1: impossible."""
    costs = OVERLAP * (1 - overlap) + COLOR * color + MOTION * np.sqrt(motion)
    return np.where(motion <= 1, costs, IMPOSSIBLE)


def assign(costs: FloatArray, *, max_cost: float) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of the cheapest assignment, without pairs above `max_cost`.

    >>> assign(np.array([[0.1, 0.2], [0.1, 0.9]]), max_cost=0.5)
    [(0, 1), (1, 0)]
    """
    from scipy.optimize import linear_sum_assignment  # the database layer imports this module, not SciPy

    allowed = np.where(costs <= max_cost, costs, IMPOSSIBLE)
    rows, columns = linear_sum_assignment(allowed)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if allowed[row, column] < IMPOSSIBLE]


def histogram_distances(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the pairwise Hellinger distances, (len(rows), len(columns)): 0 same, 1 no color in common."""
    common = np.sqrt(rows) @ np.sqrt(columns).T
    return np.asarray(np.sqrt(np.clip(1.0 - common, 0.0, 1.0)), dtype=np.float64)
