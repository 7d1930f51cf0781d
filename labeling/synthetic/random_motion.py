"""Smooth random motion of a body: displacements at three scales, eased over time, and a shift out of the image.

Frame t shows at pixel x what the undeformed body has at x + D_t(x), with D_t(x) = W_t(x) - s_t: a smooth field W_t
and a shift s_t of the whole body. The motion of a pixel from frame t to t + 1 is therefore the f with
D_t(x) = f + D_{t+1}(x + f), the fixed point of f <- D_t(x) - D_{t+1}(x + f). It exists and is unique where the
Jacobian of D is below 1 everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from labeling.video.optical_flow import Flow, bilinear_sample

RNG = np.random.Generator
GRIDS = (2, 4, 8)
"""Random vectors per side, for each scale."""
MAX_JACOBIAN = 0.7
"""A motion whose Jacobian has a larger norm somewhere is rejected: the fixed point would be reached too slowly."""
ITERATIONS = 6
"""Of the fixed point: the error is below 0.7^6 = 12 % of the motion between two frames in the worst case, and
below a hundredth of a pixel for usual motion."""
_ATTEMPTS = 100
_CHECKED_HW = (24, 36)
"""Points at which the Jacobian is checked."""


@dataclass(frozen=True, slots=True, eq=False)
class Wobble:
    """The smooth field W: states of K key times, KxGxGx2 for each scale, in pixels (x, y)."""

    states: tuple[NDArray[np.float64], ...]
    key_every: float
    """Frames between two key times."""
    size_hw: tuple[int, int]

    @classmethod
    def random(
        cls,
        rng: RNG,
        size_hw: tuple[int, int],
        *,
        frames: int,
        key_every: float,
        amplitudes: Sequence[float],
    ) -> Self:
        """Draw states until the Jacobian is small enough everywhere; `amplitudes` are shares of the shorter side.

        Raises:
            ConfigError: the amplitudes are so large that no drawn motion is smooth enough.
        """
        keys = int(np.ceil((frames - 1) / key_every)) + 1
        for _ in range(_ATTEMPTS):
            states = tuple(
                rng.uniform(-1, 1, (keys, grid, grid, 2)) * amplitude * min(size_hw)
                for grid, amplitude in zip(GRIDS, amplitudes, strict=True)
            )
            wobble = cls(states, key_every, size_hw)
            if wobble.largest_jacobian() <= MAX_JACOBIAN:
                return wobble
        raise ConfigError(
            f"amplitudes {tuple(amplitudes)}: none of {_ATTEMPTS} random motions is smooth enough; set smaller ones"
        )

    def at(self, frame: int) -> Flow:
        """Return the field of a frame, HxWx2 in pixels."""
        position = frame / self.key_every
        key = min(int(position), len(self.states[0]) - 2) if len(self.states[0]) > 1 else 0
        eased = (1 - np.cos(np.pi * min(1.0, position - key))) / 2
        field = np.zeros((*self.size_hw, 2))
        for states in self.states:
            later = states[min(key + 1, len(states) - 1)]
            field += _enlarge((1 - eased) * states[key] + eased * later, self.size_hw)
        return np.ascontiguousarray(field, dtype=np.float32)

    def largest_jacobian(self) -> float:
        """Return the largest spectral norm of the Jacobian; in between key times it is not larger than at both."""
        height, width = _CHECKED_HW
        fields: NDArray[np.float64] = sum(
            (_enlarge(states, _CHECKED_HW) for states in self.states), np.zeros(())
        )
        by_y = np.diff(fields, axis=1)[:, :, :-1] * (height / self.size_hw[0])
        by_x = np.diff(fields, axis=2)[:, :-1] * (width / self.size_hw[1])
        return float(_spectral_norm(by_x, by_y).max())


def _enlarge(grid: NDArray[np.float64], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Enlarge ...xGxGx2 to ...xHxWx2, bicubically."""
    rows, columns = (_bicubic(grid.shape[-2], side) for side in size_hw)
    return np.moveaxis(rows @ np.moveaxis(grid, -1, -3) @ columns.T, -3, -1)


@lru_cache(maxsize=32)
def _bicubic(count: int, side: int) -> NDArray[np.float64]:
    """Return the weights of `count` values for each of `side` pixels, (side, count)."""
    return np.asarray(
        cv2.resize(np.eye(count), (count, side), interpolation=cv2.INTER_CUBIC), dtype=np.float64
    )


def _spectral_norm(by_x: NDArray[np.float64], by_y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the larger singular value of the 2x2 matrices whose columns are the arguments, ...x2."""
    total = (by_x**2).sum(axis=-1) + (by_y**2).sum(axis=-1)
    determinant = by_x[..., 0] * by_y[..., 1] - by_x[..., 1] * by_y[..., 0]
    inner = np.sqrt(np.maximum(total**2 - 4 * determinant**2, 0))
    return np.asarray(np.sqrt((total + inner) / 2))


def half_out_shift(box_center_px: float, edge_px: float, frames: int) -> NDArray[np.float64]:
    """Return the horizontal shift of each frame: 0 at both ends, and the box's center on the edge in the middle.

    The shift follows sin^2 over the clip; frame `frames // 2` has its largest value.

    >>> (0 + half_out_shift(100.0, 0.0, 5).round(1)).tolist()
    [0.0, -50.0, -100.0, -50.0, 0.0]
    """
    peak = frames // 2
    rising = np.arange(peak + 1) / max(1, peak)
    falling = np.arange(frames - peak - 1, -1, -1) / max(1, frames - peak - 1)
    phase = np.concatenate([rising, falling[1:]])[:frames]
    return np.asarray((edge_px - box_center_px) * np.sin(np.pi / 2 * phase) ** 2)


def flow_between(now: Flow, later: Flow, window: tuple[slice, slice]) -> tuple[Flow, Flow]:
    """Return the motion of a window's pixels to the next frame, hxwx2, and where they end.

    `now` and `later` are the displacements D of both frames, HxWx2. Outside of the image the displacement is that of
    its border.
    """
    starts, own = pixel_grid((now.shape[0], now.shape[1]))[window], now[window]
    flow = own - later[window]
    for _ in range(ITERATIONS):
        flow = own - bilinear_sample(later, starts + flow)
    return flow, starts + flow


@lru_cache(maxsize=4)
def pixel_grid(size_hw: tuple[int, int]) -> Flow:
    """Return the position of each pixel, HxWx2 as (x, y)."""
    grid = np.dstack(np.meshgrid(np.arange(size_hw[1]), np.arange(size_hw[0]))).astype(np.float32)
    grid.flags.writeable = False
    return grid
