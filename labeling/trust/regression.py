"""The regressions of a calibration, fitted with scikit-learn."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from configs.calibration import Feature, Logistic
from configs.errors import ConfigError, ExtraMissing

_DIGITS = 6
"""Decimals of each number in the file, which people read too."""


def check_scikit_learn() -> None:
    """Raise `ExtraMissing` if scikit-learn is not installed; only fitting requires it."""
    if find_spec("sklearn") is None:
        raise ExtraMissing("fitting requires scikit-learn: pip install 'maskmill[calibrate]'")


def fit_logistic(pairs: Sequence[tuple[Mapping[Feature, float], bool]], noun: str) -> Logistic:
    """Fit scikit-learn's L2-regularized logistic regression to standardized features.

    The coefficients are given in the features' own units. Features that some examples lack are left out.
    """
    check_scikit_learn()
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    good = sum(is_good for _, is_good in pairs)
    if not 0 < good < len(pairs):
        raise ConfigError(
            f"calibration: {good} of {len(pairs)} {noun} are good, but fitting requires good and bad ones; "
            "add labeled images"
        )
    names = sorted(set.intersection(*(set(features) for features, _ in pairs)))
    table: NDArray[np.float64] = np.array([[features[name] for name in names] for features, _ in pairs])
    scaler = StandardScaler().fit(table)
    model = LogisticRegression().fit(scaler.transform(table), [is_good for _, is_good in pairs])
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (weights * scaler.mean_).sum())
    rounded = {name: round(float(weight), _DIGITS) for name, weight in zip(names, weights, strict=True)}
    return Logistic(bias=round(bias, _DIGITS), weights=rounded)


def floor_number(value: float) -> float:
    """Return a threshold as it is written to the file: never above the value."""
    return float(np.floor(value * 10**_DIGITS) / 10**_DIGITS)
