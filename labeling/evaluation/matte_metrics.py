"""Errors of an alpha matte against exact alpha: per frame, and over time.

Alpha is HxW float32 in [0, 1]. Functions return plain values; papers show MAD, MSE, dtSSD and MESSDdt times 1000 (Robust
Video Matting shows dtSSD times 100). All pixels count, not only those of a trimap's unknown region.

Sources: Rhemann et al., A Perceptually Motivated Online Benchmark for Image Matting, CVPR 2009 (SAD, Grad, Conn), in
the normalization of the Deep Image Matting evaluation code, which later papers use. SSDA, dtSSD and MESSDdt are in
labeling/evaluation/temporal_metrics.py.
"""

import math
from dataclasses import asdict, astuple, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.evaluation.temporal_metrics import Motion, TemporalMeter, root_of_sum
from labeling.structures.masks import BoolArray

Alpha = NDArray[np.float32]
"""HxW, in [0, 1]."""

GRADIENT_SIGMA = 1.4
"""Standard deviation of the Gaussian whose derivative measures gradients, in pixels (Rhemann et al.)."""
_GRADIENT_CUTOFF = 0.01
"""Values of that Gaussian below this one are not in the filter."""
CONNECTIVITY_LEVELS = tuple(level / 10 for level in range(1, 11))
CONNECTIVITY_THETA = 0.15
"""A pixel whose alpha is less than this above its connected level is fully connected (Rhemann et al.)."""
_THOUSAND = 1000.0


@dataclass(frozen=True, slots=True)
class FrameErrors:
    """Errors of one frame, or their means over frames."""

    mad: float
    """Mean absolute difference, in [0, 1]."""
    mse: float
    """Mean squared error, in [0, 1]."""
    sad: float
    """Sum of absolute differences over 1000."""
    grad: float
    """See `gradient_error`."""
    conn: float
    """See `connectivity_error`."""
    ssda: float
    """Square root of the sum of squared differences; it grows with the image's size."""


@dataclass(frozen=True, slots=True)
class MatteMetrics(FrameErrors):
    """Errors of a matte: means over its frames."""

    frames: int
    dtssd: float | None
    """Mean over pairs of successive frames; see `TemporalErrors`. None: no two frames are successive."""
    messddt: float | None
    """Mean over such pairs; see `TemporalErrors`. None: no optical flow is known."""


def frame_errors(alpha: Alpha, truth: Alpha) -> FrameErrors:
    """Return the errors of one frame.

    >>> truth = np.zeros((4, 4), np.float32)
    >>> errors = frame_errors(truth + np.float32(0.5), truth)
    >>> errors.mad, errors.mse, errors.sad, round(errors.grad, 9), errors.ssda
    (0.5, 0.25, 0.008, 0.0, 2.0)
    """
    difference = (alpha - truth).astype(np.float64)
    absolute, squared = float(np.abs(difference).sum()), float((difference**2).sum())
    return FrameErrors(
        mad=absolute / difference.size,
        mse=squared / difference.size,
        sad=absolute / _THOUSAND,
        grad=gradient_error(alpha, truth),
        conn=connectivity_error(alpha, truth),
        ssda=root_of_sum(difference),
    )


def gradient_error(alpha: Alpha, truth: Alpha) -> float:
    """Return the sum over pixels of (|grad alpha| - |grad truth|)^2, over 1000.

    Gradients are Gaussian derivatives of `GRADIENT_SIGMA`, whose filters have the L2 norm 1; border pixels are
    repeated. Mattes whose gradients differ only in direction have no error.
    """
    difference = _gradient_length(alpha) - _gradient_length(truth)
    return float((difference.astype(np.float64) ** 2).sum()) / _THOUSAND


def _gradient_length(alpha: Alpha) -> Alpha:
    smooth, derivative = _gradient_filters()
    across, down = (
        cv2.sepFilter2D(alpha, cv2.CV_32F, *filters, borderType=cv2.BORDER_REPLICATE)
        for filters in ((derivative, smooth), (smooth, derivative))
    )
    return np.asarray(np.hypot(across, down), dtype=np.float32)


def _gradient_filters() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a Gaussian and its derivative, each of the L2 norm 1; their outer product then has it too."""
    sigma = GRADIENT_SIGMA
    half = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * _GRADIENT_CUTOFF)))
    x = np.arange(-half, half + 1, dtype=np.float64)
    smooth = np.exp(-(x**2) / (2 * sigma**2))
    derivative = -x * smooth
    return smooth / np.linalg.norm(smooth), derivative / np.linalg.norm(derivative)


def connectivity_error(alpha: Alpha, truth: Alpha) -> float:
    """Return the sum over pixels of the difference of both connectivities, over 1000.

    The source region of a level is the largest 4-connected region in which both mattes reach it. A pixel is connected
    up to the last of `CONNECTIVITY_LEVELS` before the first whose source region lacks it. What its alpha has above
    that level, from `CONNECTIVITY_THETA` on, is not connected.
    """
    both, connected = np.minimum(alpha, truth), np.zeros_like(truth)
    is_connected = np.ones(truth.shape, dtype=np.bool_)
    for level in CONNECTIVITY_LEVELS:
        is_connected &= _largest_region(both >= np.float32(level))
        if not is_connected.any():
            break
        connected[is_connected] = level
    loose_alpha, loose_truth = (_loose_part(matte - connected) for matte in (alpha, truth))
    return float(np.abs(loose_alpha - loose_truth).sum(dtype=np.float64)) / _THOUSAND


def _largest_region(pixels: BoolArray) -> BoolArray:
    """Return the largest 4-connected region; without a pixel, an empty one."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pixels.view(np.uint8), connectivity=4)
    if count == 1:
        return pixels
    region: BoolArray = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return region


def _loose_part(above: Alpha) -> Alpha:
    return np.where(above >= np.float32(CONNECTIVITY_THETA), above, np.float32(0))


class MatteMeter:
    """Accumulates the errors of a video frame by frame; it keeps the last frame's error only.

    >>> meter = MatteMeter()
    >>> for level in (0.5, 0.0, 0.5):  # flicker over an empty scene
    ...     _ = meter.update(np.full((4, 4), level, np.float32), np.zeros((4, 4), np.float32))
    >>> metrics = meter.compute()
    >>> metrics.frames, metrics.dtssd, round(metrics.mad, 4)
    (3, 0.5, 0.3333)
    """

    def __init__(self) -> None:
        self._frames, self._dtssd, self._messddt = _Mean(), _Mean(), _Mean()
        self._over_time = TemporalMeter()

    def update(
        self,
        alpha: Alpha,
        truth: Alpha,
        *,
        motion: Motion | None = None,
        is_successor: bool = True,
    ) -> FrameErrors:
        """Add a frame and return its errors.

        Args:
            alpha: HxW in [0, 1].
            truth: exact alpha of the same size.
            motion: from the last frame to this one; None: no MESSDdt for this pair.
            is_successor: it directly follows the last frame in time; otherwise the pair has no dtSSD.
        """
        errors = frame_errors(alpha, truth)
        self._frames.add(*astuple(errors))
        change = self._over_time.update(alpha - truth, motion=motion, is_successor=is_successor)
        if change.dtssd is not None:
            self._dtssd.add(change.dtssd)
        if change.messddt is not None:
            self._messddt.add(change.messddt)
        return errors

    def compute(self) -> MatteMetrics | None:
        """Return the means over the frames so far; None without a frame."""
        if not self._frames.count:
            return None
        return MatteMetrics(
            **asdict(FrameErrors(*self._frames.mean())),
            frames=self._frames.count,
            dtssd=next(iter(self._dtssd.mean()), None),
            messddt=next(iter(self._messddt.mean()), None),
        )


class _Mean:
    """Running means of a row of values."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: NDArray[np.float64] = np.zeros(0)

    def add(self, *values: float) -> None:
        self._sums = np.array(values) + (self._sums if self.count else 0.0)
        self.count += 1

    def mean(self) -> list[float]:
        """Return the mean row; empty before the first row."""
        return [float(total) / self.count for total in self._sums]
