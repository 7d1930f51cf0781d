"""Errors of a matte, or of masks, over time: SSDA, dtSSD and MESSDdt.

Source: Erofeev et al., Perceptually Motivated Benchmark for Video Matting, BMVC 2015 (videomatting.com). They sum dtSSD
and MESSDdt over pixels; here they are means over pixels: their dtSSD is sqrt(H * W) times ours, their MESSDdt H * W times.
An error is alpha minus exact alpha, HxW float32 in [-1, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoolArray
from labeling.video.optical_flow import Flow, bilinear_sample

Error = NDArray[np.float32]
Motion = tuple[Flow, BoolArray]
"""For each pixel of the last frame its position in this one (HxWx2: x, y), and whether it is known (HxW)."""
_FULLY_KNOWN = 0.999
"""A position between pixels is known if all of them are; less than 1 because of rounding."""


@dataclass(frozen=True, slots=True)
class TemporalErrors:
    """Errors of one frame and of its change from the last one."""

    ssda: float
    """Square root of the sum of squared errors; it grows with the image's size."""
    dtssd: float | None = None
    """Root mean square of the error's change from the last frame. None: the frame does not directly follow another."""
    messddt: float | None = None
    """Mean of |error(p, t)^2 - error(p + v, t + 1)^2|, with v the optical flow. None: no optical flow is known."""


@dataclass(frozen=True, slots=True)
class TemporalMetrics:
    """Means over frames (SSDA) and over pairs of successive frames."""

    pairs: int
    ssda: float
    dtssd: float
    messddt: float | None
    """None: no pair has an optical flow."""


class TemporalMeter:
    """Measures the errors of a video frame by frame; it keeps the last frame only.

    >>> meter = TemporalMeter()
    >>> for level in (0.5, 0.0):  # flicker over an empty scene
    ...     errors = meter.update(np.full((4, 4), level, np.float32))
    >>> errors.ssda, errors.dtssd, errors.messddt
    (0.0, 0.5, None)
    """

    def __init__(self) -> None:
        self._last: Error | None = None
        self._last_known: BoolArray | None = None

    def update(
        self,
        error: Error,
        *,
        known: BoolArray | None = None,
        motion: Motion | None = None,
        is_successor: bool = True,
    ) -> TemporalErrors:
        """Return the errors of the next frame.

        Args:
            error: of the frame.
            known: pixels whose ground truth is known, HxW; others do not count. None: all.
            motion: from the last frame to this one; None: no MESSDdt for this pair.
            is_successor: the frame directly follows the last one in time; otherwise there is no pair.
        """
        error = error if known is None else error * known
        dtssd = messddt = None
        if self._last is not None and is_successor and self._last.shape == error.shape:
            dtssd = change_over_time(self._last, error, known=_both(self._last_known, known))
            if motion is not None:
                seen = _known_along(self._last_known, known, motion)
                messddt = change_along_motion(self._last, error, (motion[0], seen))
        self._last, self._last_known = error, known
        return TemporalErrors(root_of_sum(error), dtssd, messddt)


def mean_errors(errors: Sequence[TemporalErrors]) -> TemporalMetrics | None:
    """Return the means; None without a pair of successive frames."""
    changes = [one.dtssd for one in errors if one.dtssd is not None]
    along = [one.messddt for one in errors if one.messddt is not None]
    if not changes:
        return None
    return TemporalMetrics(
        pairs=len(changes),
        ssda=float(np.mean([one.ssda for one in errors])),
        dtssd=float(np.mean(changes)),
        messddt=float(np.mean(along)) if along else None,
    )


def root_of_sum(error: NDArray[np.floating[Any]]) -> float:
    """Return the SSDA of one frame.

    >>> root_of_sum(np.full((3, 3), -0.5, np.float32))
    1.5
    """
    return math.sqrt(np.square(error, dtype=np.float64).sum())


def change_over_time(before: Error, now: Error, *, known: BoolArray | None = None) -> float | None:
    """Return the dtSSD of one pair, over the known pixels; None: no pixel is known."""
    squares = np.square(now - before)
    if known is not None:
        squares = squares[known]
    return math.sqrt(squares.mean(dtype=np.float64)) if squares.size else None


def change_along_motion(before: Error, now: Error, motion: Motion) -> float | None:
    """Return the MESSDdt of one pair, over the pixels whose motion is known; None: there is none."""
    positions, is_known = motion
    if not is_known.any():
        return None
    change = np.abs(np.square(before) - np.square(bilinear_sample(now, positions)))
    return float(change[is_known].mean(dtype=np.float64))


def _both(first: BoolArray | None, second: BoolArray | None) -> BoolArray | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _known_along(before: BoolArray | None, now: BoolArray | None, motion: Motion) -> BoolArray:
    """Return the pixels of known motion whose ground truth is known at both ends."""
    positions, seen = motion
    if before is not None:
        seen = seen & before
    if now is not None:
        seen = seen & (bilinear_sample(now.astype(np.float32), positions) > _FULLY_KNOWN)
    return seen
