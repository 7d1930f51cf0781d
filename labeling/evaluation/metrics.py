"""Ranking and calibration metrics for binary labels.

They do not use scikit-learn, because `maskmill evaluate` runs without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

CALIBRATION_BINS = 10
COVERAGE_STEPS = 20


def auroc(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Return the probability that a positive scores above a negative, a tie counting half, in [0, 1].

    The Mann-Whitney U statistic over the number of pairs (Hanley and McNeil, 1982). None if all labels are equal.
    """
    ranks, is_positive = rankdata(np.asarray(scores, dtype=np.float64)), _as_labels(labels)
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        return None
    above = ranks[is_positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Return the precision at each positive, best score first, averaged over the positives, in [0, 1].

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


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Predictions of about the same probability."""

    predicted: float
    """Mean probability, in [0, 1]."""
    observed: float
    """Share of positives."""
    count: int


def calibration_curve(probabilities: ArrayLike, labels: ArrayLike) -> list[CalibrationBin]:
    """Return the bins that are not empty, in order (a reliability diagram)."""
    predicted, is_positive = np.asarray(probabilities, dtype=np.float64), _as_labels(labels)
    bin_of = np.clip((predicted * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    members = (bin_of == number for number in range(CALIBRATION_BINS))
    return [
        CalibrationBin(float(predicted[some].mean()), float(is_positive[some].mean()), int(some.sum()))
        for some in members
        if some.any()
    ]


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Return the mean distance between predicted and observed probability, in [0, 1]; None without labels.

    Bins of equal width, weighted by their counts (Naeini, Cooper and Hauskrecht, 2015).
    """
    bins = calibration_curve(probabilities, labels)
    total = sum(part.count for part in bins)
    return sum(part.count * abs(part.predicted - part.observed) for part in bins) / total if total else None


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """The risk of taking the most trusted."""

    coverage: float
    """Share that is taken."""
    risk: float
    """Share of bad ones among them."""


def risk_coverage(probabilities: ArrayLike, labels: ArrayLike) -> list[CoveragePoint]:
    """Return the risk at each twentieth of coverage (El-Yaniv and Wiener, 2010) that holds at least one."""
    predicted, is_good = np.asarray(probabilities, dtype=np.float64), _as_labels(labels)
    bad = np.cumsum(~is_good[np.argsort(-predicted, kind="stable")])
    counts = (round(len(predicted) * step / COVERAGE_STEPS) for step in range(1, COVERAGE_STEPS + 1))
    return [CoveragePoint(n / len(predicted), float(bad[n - 1] / n)) for n in counts if n]


@dataclass(frozen=True, slots=True)
class CalibrationMetrics:
    """How well predicted probabilities agree with whether masks are good."""

    count: int
    good: float | None
    """Share of good ones."""
    auroc: float | None
    error: float | None
    """Expected calibration error, in [0, 1]."""
    curve: list[CalibrationBin]
    risk_coverage: list[CoveragePoint]


def calibration_metrics(pairs: Sequence[tuple[float, bool]]) -> CalibrationMetrics:
    """Measure pairs of a predicted probability, in [0, 1], and whether the mask is good."""
    predicted, good = [value for value, _ in pairs], [is_good for _, is_good in pairs]
    return CalibrationMetrics(
        count=len(pairs),
        good=share(good),
        auroc=auroc(predicted, good),
        error=expected_calibration_error(predicted, good),
        curve=calibration_curve(predicted, good),
        risk_coverage=risk_coverage(predicted, good),
    )


def share(values: Sequence[bool]) -> float | None:
    """Return the share of true values, in [0, 1]; None without values."""
    return sum(values) / len(values) if values else None


def _as_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    return np.asarray(labels, dtype=np.bool_)
