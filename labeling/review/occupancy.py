"""Occupancy grids: where in a frame people are, coarsely, from boxes and areas without decoding masks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

CELLS = 16
"""Rows and columns of a grid: a person across a street is about as wide as one cell."""
STUDENT_WEIGHT = 0.25
"""Weight of the student's masks beside the teacher's. The teacher's are the ones shown; the student's are noisy,
but where the teacher finds no person they are all that is known. In the first 16 frames of a queue of PETS 2009
S2.L1, weights of 0 and 0.25 show equally many people, a weight of 1 shows fewer."""
_EPSILON = 1e-6
"""Added to both sums of a distance, so that two empty grids are equal."""

OccupancyGrid = NDArray[np.float16]
"""(CELLS * CELLS,), row by row: the share of each cell that masks cover, assuming that the pixels of a mask are
spread evenly over its box. Overlapping people add up. 512 bytes per frame."""


def occupancy_grids(
    boxes_xywh: ArrayLike, areas_px: ArrayLike, sizes_wh: ArrayLike, frame_of: ArrayLike, *, frames: int
) -> NDArray[np.float16]:
    """Compute the grids of several frames, (frames, CELLS * CELLS).

    For each instance: its box in pixels (n, 4), the area of its mask (n,), the width and height of its frame
    (n, 2) and the index of its frame (n,). Instances with an empty box or a frame without a size are ignored.
    """
    x, y, w, h = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4).T
    width, height = np.asarray(sizes_wh, dtype=np.float64).reshape(-1, 2).T
    areas = np.asarray(areas_px, dtype=np.float64)
    is_valid = (w > 0) & (h > 0) & (width > 0) & (height > 0)
    x, y, w, h, width, height, areas = (values[is_valid] for values in (x, y, w, h, width, height, areas))
    grids = np.zeros((frames, CELLS, CELLS), dtype=np.float32)
    across, down = _overlaps(x, w, width), _overlaps(y, h, height)
    filled = np.minimum(areas / (w * h), 1)
    cover = filled[:, None, None] * down[:, :, None] * across[:, None, :]
    np.add.at(grids, np.asarray(frame_of, dtype=np.int64)[is_valid], cover)
    return grids.reshape(frames, CELLS * CELLS).astype(np.float16)


def occupancy_distances(grid: OccupancyGrid, others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the distances of a grid from others (n, cells), in [0, 1]: 0 if equal, 1 if no cell is shared.

    1 - sum(min) / sum(max), the weighted Jaccard distance (Ruzicka, 1958), which extends IoU to shares.
    """
    single = grid.astype(np.float32)
    intersection = np.minimum(single, others).sum(axis=1)
    union = np.maximum(single, others).sum(axis=1)
    distances: NDArray[np.float32] = 1 - (intersection + _EPSILON) / (union + _EPSILON)
    return distances


def stack_grids(grids: Sequence[OccupancyGrid]) -> NDArray[np.float32]:
    """Return grids as (n, cells), the form that `occupancy_distances` takes."""
    return np.asarray(grids, dtype=np.float32).reshape(-1, CELLS * CELLS)


def pack_grid(grid: OccupancyGrid) -> bytes:
    """Return a grid as 512 bytes, little-endian."""
    return grid.astype("<f2").tobytes()


def unpack_grid(packed: bytes) -> OccupancyGrid:
    return np.frombuffer(packed, "<f2")


def _overlaps(
    start: NDArray[np.float64], length: NDArray[np.float64], whole: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of each of the CELLS parts of a side that an interval covers, (n, CELLS)."""
    cells = np.arange(CELLS)
    first, last = (side[:, None] / whole[:, None] * CELLS for side in (start, start + length))
    overlaps: NDArray[np.float64] = np.clip(np.minimum(last, cells + 1) - np.maximum(first, cells), 0, 1)
    return overlaps
