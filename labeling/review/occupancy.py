"""Layouts: where in a frame people are, coarsely, from boxes and areas alone, no mask decoded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

CELLS = 16
"""Of a layout, across and down: a person across a street is about as wide as one."""
STUDENT_WEIGHT = 0.25
"""Of the student's masks beside the teacher's, which people are shown: its noise would pass for news, and where
the teacher sees nobody it is all that is known. The first 16 frames of a queue of PETS 2009 S2.L1 show
as many people with 0 or 0.25, fewer with 1."""
_EPSILON = 1e-6
"""Added to both sums of a distance: two layouts of nobody are the same."""

OccupancyGrid = NDArray[np.float16]
"""(CELLS * CELLS,), by rows: the share of each cell that masks cover, if every mask's pixels lay evenly in
its box; people who overlap are added up. 512 bytes a frame."""


def occupancy_grids(
    boxes_xywh: ArrayLike, areas_px: ArrayLike, sizes_wh: ArrayLike, frame_of: ArrayLike, *, frames: int
) -> NDArray[np.float16]:
    """Draw the layouts of several frames, (frames, CELLS * CELLS).

    For each instance: its box in pixels (n, 4), its mask's area (n,), its frame's width and height (n, 2)
    and its frame's position (n,). Boxes without an area or in a frame without a size are nobody.
    """
    x, y, w, h = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4).T
    width, height = np.asarray(sizes_wh, dtype=np.float64).reshape(-1, 2).T
    areas = np.asarray(areas_px, dtype=np.float64)
    is_somebody = (w > 0) & (h > 0) & (width > 0) & (height > 0)
    x, y, w, h, width, height, areas = (one[is_somebody] for one in (x, y, w, h, width, height, areas))
    grids = np.zeros((frames, CELLS, CELLS), dtype=np.float32)
    across, down = _overlaps(x, w, width), _overlaps(y, h, height)
    filled = np.minimum(areas / (w * h), 1)
    cover = filled[:, None, None] * down[:, :, None] * across[:, None, :]
    np.add.at(grids, np.asarray(frame_of, dtype=np.int64)[is_somebody], cover)
    return grids.reshape(frames, CELLS * CELLS).astype(np.float16)


def occupancy_distances(one: OccupancyGrid, others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of a layout from each of others (n, cells), in [0, 1]: 0 for the same, 1 where no cell is shared.

    1 - sum(min) / sum(max), the weighted Jaccard distance (Ruzicka, 1958): what an IoU is to masks.
    """
    single = one.astype(np.float32)
    common = np.minimum(single, others).sum(axis=1)
    joint = np.maximum(single, others).sum(axis=1)
    distances: NDArray[np.float32] = 1 - (common + _EPSILON) / (joint + _EPSILON)
    return distances


def stack_grids(grids: Sequence[OccupancyGrid]) -> NDArray[np.float32]:
    """(n, cells), as `occupancy_distances` takes them."""
    return np.asarray(grids, dtype=np.float32).reshape(-1, CELLS * CELLS)


def pack_grid(occupancy: OccupancyGrid) -> bytes:
    """A layout as 512 bytes, little-endian."""
    return occupancy.astype("<f2").tobytes()


def unpack_grid(packed: bytes) -> OccupancyGrid:
    return np.frombuffer(packed, "<f2")


def _overlaps(
    start: NDArray[np.float64], length: NDArray[np.float64], whole: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of each of the CELLS parts of a side that lies between start and end, (n, CELLS)."""
    cells = np.arange(CELLS)
    first, last = (side[:, None] / whole[:, None] * CELLS for side in (start, start + length))
    overlaps: NDArray[np.float64] = np.clip(np.minimum(last, cells + 1) - np.maximum(first, cells), 0, 1)
    return overlaps
