"""Masks made from mattes by a threshold, against ground truth in which some pixels may be unknown."""

from dataclasses import dataclass

import numpy as np

from labeling.comparison.boundary_iou import boundary_iou
from labeling.evaluation.matte_metrics import Alpha
from labeling.structures.masks import BoolArray, Mask

MASK_THRESHOLD = 0.5
"""A pixel with more alpha belongs to the mask."""
SWEEP = tuple(step / 20 for step in range(1, 20))
"""Thresholds that are compared."""
_LEVELS = 256


@dataclass(frozen=True, slots=True)
class ThresholdScore:
    """Pixels of the masks above a threshold, counted over all frames of a video."""

    threshold: float
    precision: float | None
    """Share of people's pixels in the masks; None: the masks are empty."""
    recall: float | None
    """Share of people's pixels that are in the masks; None: there are no people."""
    f: float | None
    """2 * precision * recall / (precision + recall); None: neither masks nor people have a pixel."""


@dataclass(frozen=True, slots=True)
class MaskMetrics:
    """Masks of a video above `MASK_THRESHOLD`, and the best threshold."""

    precision: float | None
    recall: float | None
    f: float | None
    best_f: float | None
    """Highest F of all thresholds in `SWEEP`."""
    best_threshold: float | None
    iou: float | None
    """Mean over the frames in which mask or ground truth has a pixel."""
    boundary_iou: float | None
    """Mean over the same frames; unknown pixels count as background of both."""


class MaskMeter:
    """Accumulates one video's masks frame by frame, for all thresholds at once.

    Alpha is rounded to 8 bits and counted in a histogram per class, so every threshold is exact for 8-bit mattes.

    >>> meter = MaskMeter()
    >>> alpha = np.array([[0.9, 0.4], [0.6, 0.0]], np.float32)
    >>> person = np.array([[True, True], [False, False]])
    >>> meter.update(alpha, person)
    0.3333333333333333
    >>> meter.score(0.5)
    ThresholdScore(threshold=0.5, precision=0.5, recall=0.5, f=0.5)
    """

    def __init__(self) -> None:
        self._histograms = np.zeros((2, _LEVELS), dtype=np.int64)  # background, people
        self._ious: list[tuple[float, float]] = []

    def update(self, alpha: Alpha, person: BoolArray, known: BoolArray | None = None) -> float | None:
        """Add a frame; return the IoU of its mask, or None if neither it nor the ground truth has a known pixel.

        Args:
            alpha: HxW in [0, 1].
            person: HxW ground truth.
            known: HxW pixels that count; None: all.
        """
        levels = np.rint(alpha * (_LEVELS - 1)).astype(np.intp)
        known = np.ones(person.shape, dtype=np.bool_) if known is None else known
        mask, truth = known & (levels >= _lowest_level(MASK_THRESHOLD)), known & person
        for number, pixels in enumerate((known & ~person, truth)):
            self._histograms[number] += np.bincount(levels[pixels], minlength=_LEVELS)
        union = np.count_nonzero(mask | truth)
        if not union:
            return None
        iou = float(np.count_nonzero(mask & truth) / union)
        self._ious.append((iou, boundary_iou(Mask.from_array(mask), Mask.from_array(truth))))
        return iou

    def score(self, threshold: float) -> ThresholdScore:
        """Return the score of the pixels with more alpha than `threshold`, which is in [0, 1)."""
        false, true = (int(part[_lowest_level(threshold) :].sum()) for part in self._histograms)
        people = int(self._histograms[1].sum())
        return ThresholdScore(
            threshold=threshold,
            precision=true / (true + false) if true + false else None,
            recall=true / people if people else None,
            f=2 * true / (true + false + people) if true + false + people else None,
        )

    def sweep(self) -> tuple[ThresholdScore, ...]:
        """Return the score of each threshold in `SWEEP`."""
        return tuple(self.score(threshold) for threshold in SWEEP)

    def compute(self) -> MaskMetrics:
        """Return the metrics of the frames so far. Of equal thresholds, the lowest is the best."""
        score = self.score(MASK_THRESHOLD)
        best = max(self.sweep(), key=lambda one: -1.0 if one.f is None else one.f)
        ious = np.mean(self._ious, axis=0).tolist() if self._ious else (None, None)
        return MaskMetrics(
            precision=score.precision,
            recall=score.recall,
            f=score.f,
            best_f=best.f,
            best_threshold=None if best.f is None else best.threshold,
            iou=ious[0],
            boundary_iou=ious[1],
        )


def _lowest_level(threshold: float) -> int:
    """Return the lowest 8-bit level whose alpha is above a threshold."""
    return int(np.searchsorted(np.arange(_LEVELS) / (_LEVELS - 1), threshold, side="right"))
