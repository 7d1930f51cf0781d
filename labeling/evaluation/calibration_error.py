"""Probabilities beside what came true."""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.evaluation.metrics import (
    CalibrationBin,
    CoveragePoint,
    auroc,
    calibration_curve,
    expected_calibration_error,
    risk_coverage,
    share,
)


@dataclass(frozen=True, slots=True)
class CalibrationMetrics:
    """How right the probabilities are that masks are good."""

    count: int
    good: float | None
    """Share of good ones."""
    auroc: float | None
    error: float | None
    """Expected calibration error, in [0, 1]."""
    curve: list[CalibrationBin]
    risk_coverage: list[CoveragePoint]


def judge_predictions(pairs: Sequence[tuple[float, bool]]) -> CalibrationMetrics:
    """What was said of each, in [0, 1], and whether it came true."""
    said, true = [value for value, _ in pairs], [is_good for _, is_good in pairs]
    return CalibrationMetrics(
        count=len(pairs),
        good=share(true),
        auroc=auroc(said, true),
        error=expected_calibration_error(said, true),
        curve=calibration_curve(said, true),
        risk_coverage=risk_coverage(said, true),
    )
