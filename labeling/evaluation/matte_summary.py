"""Metrics of a video's matte, as they are reported."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from labeling.evaluation.mask_sweep import MaskMetrics, ThresholdScore
from labeling.evaluation.matte_metrics import MatteMetrics


@dataclass(frozen=True, slots=True)
class MatteFrameScore:
    """One frame's matte."""

    number: int
    """In the ground truth."""
    iou: float | None
    """IoU of the mask; None: neither it nor the ground truth has a pixel."""
    mad: float | None
    """Mean absolute difference; None: there is no exact alpha."""


@dataclass(frozen=True, slots=True)
class MatteSummary:
    """Metrics of one video's matte, or their means over videos."""

    frames: int
    """Compared frames: those with a pixel whose ground truth is decided."""
    missing: int
    """Frames of the ground truth that the matte lacks."""
    offset: int | None
    """Number of a frame in the ground truth minus its number in the matte; None for several videos."""
    is_offset_inferred: bool
    alpha: MatteMetrics | None
    """None: there is no exact alpha."""
    masks: MaskMetrics
    sweep: tuple[ThresholdScore, ...]
    scores: tuple[MatteFrameScore, ...] = ()
    """Per frame, in order."""

    def worst(self, most: int) -> list[MatteFrameScore]:
        """Return the worst frame of each of `most` equal parts of the video, worst first.

        By largest MAD or, without exact alpha, by smallest IoU. The worst frames of all are often neighbors, which look
        alike.
        """
        known = [one for one in self.scores if one.iou is not None or one.mad is not None]
        starts = np.linspace(0, len(known), min(most, len(known)) + 1).astype(int).tolist()
        worst = [min(known[start:end], key=_goodness) for start, end in pairwise(starts)]
        return sorted(worst, key=_goodness)


def _goodness(score: MatteFrameScore) -> float:
    return -score.mad if score.mad is not None else score.iou or 0.0
