"""The person probability of a frame, averaged with that of the frames around it along the motion.

P(x) = sum_k v_k P_k(x_k) / sum_k v_k over the frames k from `REACH` before to `REACH` after, with x_k the place of pixel x in frame k
along optical flow. v_k is the product, over the steps from frame to frame, of a factor for the time of a step, of the flow's
forward-backward check (0 or 1), and of its photometric weight. So a person whom the segmenter loses in one frame remains, and one
whom it sees in one frame alone goes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import LumaImage
from labeling.video.optical_flow import (
    SMALLEST_PX,
    Flow,
    bilinear_sample,
    follow_both_ways,
    photometric_weight,
)

FloatImage = NDArray[np.float32]
REACH = 6
"""Frames on each side."""
DECAY_S = 0.25
"""Time after which a frame counts 1/e."""


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """Where each pixel is in a neighboring frame (HxWx2: x, y), and its weight (HxW, from 0 to 1)."""

    positions: Flow
    weights: FloatImage


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """The ways between two consecutive frames."""

    ahead: Way
    back: Way


def find_step(before: LumaImage, after: LumaImage, *, dt_s: float) -> Step | None:
    """Return the step between two frames of one size; None if they are too small for optical flow."""
    if min(before.shape) < SMALLEST_PX:
        return None
    factor = np.float32(math.exp(-abs(dt_s) / DECAY_S))
    (there, is_there), (home, is_home) = follow_both_ways(before, after)
    ahead = factor * is_there * photometric_weight(before, after, there)
    back = factor * is_home * photometric_weight(after, before, home)
    return Step(Way(there, ahead), Way(home, back))


def average_around(maps: Sequence[FloatImage], steps: Sequence[Step | None], at: int) -> FloatImage:
    """Return the average for frame `at` of the maps of a shot's consecutive frames, HxW each, with the steps between them.

    Frames beyond a missing step do not count.

    >>> average_around([np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32)], [None], 0).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    first, last = max(0, at - REACH), min(len(maps), at + REACH + 1)
    counted = [np.dstack([values, np.ones_like(values)]) for values in maps[first:last]]
    ahead = [step.ahead if step else None for step in steps[at : last - 1]]
    back = [step.back if step else None for step in steps[first:at]]
    later = _gather(counted[at - first :], ahead)
    earlier = _gather(counted[at - first :: -1], back[::-1])
    total = later + earlier - counted[at - first]
    return np.asarray(total[..., 0] / total[..., 1], dtype=np.float32)


def _gather(maps: Sequence[FloatImage], ways: Sequence[Way | None]) -> FloatImage:
    """Return the weighted sum of the maps, moved to the first one from way to way."""
    if not ways or (way := ways[0]) is None:
        return maps[0]
    moved = bilinear_sample(_gather(maps[1:], ways[1:]), way.positions)
    return np.asarray(maps[0] + way.weights[..., None] * moved, dtype=np.float32)
