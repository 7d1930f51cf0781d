"""A mean with its confidence interval."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over frames and its percentile interval; None: too few videos for one."""

    mean: float
    low: float | None
    high: float | None
