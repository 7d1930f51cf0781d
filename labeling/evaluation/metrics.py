"""Measures of a ranking: how well a number tells the ones from the zeros."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata


def auroc(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Probability that a positive scores above a negative, a tie counting half, in [0, 1].

    The Mann-Whitney U statistic over the number of pairs (Hanley and McNeil, 1982). None where
    there are only positives or only negatives.
    """
    ranks, is_positive = rankdata(np.asarray(scores, dtype=np.float64)), _as_labels(labels)
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        return None
    above = ranks[is_positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Precision at each positive, best score first, averaged over the positives, in [0, 1].

    Equal scores are one step, as in scikit-learn's `average_precision_score`. None without a positive.
    """
    values, is_positive = np.asarray(scores, dtype=np.float64), _as_labels(labels)
    if not is_positive.any():
        return None
    order = np.argsort(-values, kind="stable")
    found, taken = np.cumsum(is_positive[order]), np.arange(1, len(order) + 1)
    is_last_of_equals = np.append(np.diff(values[order]) != 0, True)
    found, taken = found[is_last_of_equals], taken[is_last_of_equals]
    steps = np.diff(found, prepend=0) / is_positive.sum()
    return float((steps * found / taken).sum())


CALIBRATION_BINS = 10


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Mean distance between what was said and what came true, in [0, 1]; None for no label.

    Ten bins of equal width, each weighted by what it holds (Naeini, Cooper and Hauskrecht, 2015).
    """
    parts = calibration_curve(probabilities, labels)
    total = sum(part.count for part in parts)
    return sum(part.count * abs(part.said - part.true) for part in parts) / total if total else None


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Predictions of about the same probability."""

    said: float
    """Their mean, in [0, 1]."""
    true: float
    """The share of them that came true."""
    count: int


def calibration_curve(probabilities: ArrayLike, labels: ArrayLike) -> list[CalibrationBin]:
    """The bins that hold anything, in order (a reliability diagram)."""
    said, came_true = np.asarray(probabilities, dtype=np.float64), _as_labels(labels)
    number = np.clip((said * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    members = (number == one for one in range(CALIBRATION_BINS))
    return [
        CalibrationBin(float(said[some].mean()), float(came_true[some].mean()), int(some.sum()))
        for some in members
        if some.any()
    ]


COVERAGE_STEPS = 20


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """What is risked by taking the most trusted."""

    coverage: float
    """Share that is taken."""
    risk: float
    """Share of these that are bad."""


def risk_coverage(probabilities: ArrayLike, labels: ArrayLike) -> list[CoveragePoint]:
    """Risk at each twentieth of coverage (El-Yaniv and Wiener, 2010); twentieths of less than one are left out."""
    said, is_good = np.asarray(probabilities, dtype=np.float64), _as_labels(labels)
    bad = np.cumsum(~is_good[np.argsort(-said, kind="stable")])
    counts = (round(len(said) * step / COVERAGE_STEPS) for step in range(1, COVERAGE_STEPS + 1))
    return [CoveragePoint(count / len(said), float(bad[count - 1] / count)) for count in counts if count]


def share(of: Sequence[bool]) -> float | None:
    """How many are true, in [0, 1]; None for none at all."""
    return sum(of) / len(of) if of else None


def _as_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    return np.asarray(labels, dtype=np.bool_)
