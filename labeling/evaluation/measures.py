"""Measures of a ranking: how well a number tells the ones from the zeros."""

from collections.abc import Sequence

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


def share(of: Sequence[bool]) -> float | None:
    """How many are true, in [0, 1]; None for none at all."""
    return sum(of) / len(of) if of else None


def _as_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    return np.asarray(labels, dtype=np.bool_)
