"""Metrics against their definitions, written out."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.evaluation.metrics import (
    auroc,
    average_precision,
    calibration_curve,
    expected_calibration_error,
    risk_coverage,
    share,
)

RANKED = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30)
"""Few different scores, because errors occur at ties."""


def split(ranked: list[tuple[int, bool]]) -> tuple[list[int], list[bool]]:
    return [score for score, _ in ranked], [label for _, label in ranked]


@given(RANKED)
def test_auroc_is_the_share_of_pairs_in_the_right_order(ranked: list[tuple[int, bool]]) -> None:
    scores, labels = split(ranked)
    ones = [score for score, label in ranked if label]
    zeros = [score for score, label in ranked if not label]
    pairs = [(one > zero) + 0.5 * (one == zero) for one, zero in product(ones, zeros)]
    found = auroc(scores, labels)
    assert found == (pytest.approx(np.mean(pairs)) if pairs else None)


@given(RANKED)
def test_average_precision_is_the_area_under_the_steps(ranked: list[tuple[int, bool]]) -> None:
    scores, labels = split(ranked)
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [label for score, label in ranked if score >= threshold]
        recall = sum(taken) / max(sum(labels), 1)
        area += (recall - recall_before) * sum(taken) / len(taken)
        recall_before = recall
    assert average_precision(scores, labels) == (pytest.approx(area) if any(labels) else None)


def test_a_share_of_nothing_is_none() -> None:
    assert share([]) is None
    assert share([True, False, False, False]) == 0.25


def test_predictions_equal_to_the_observed_share_have_no_calibration_error() -> None:
    predicted = [0.25] * 4 + [0.75] * 4
    assert expected_calibration_error(predicted, [1, 0, 0, 0, 1, 1, 1, 0]) == 0.0
    assert expected_calibration_error(predicted, [0, 0, 0, 0, 1, 1, 1, 1]) == 0.25
    assert expected_calibration_error([], []) is None


def test_each_bin_has_its_mean_and_its_observed_share() -> None:
    curve = calibration_curve([0.0, 0.04, 0.95, 1.0], [False, True, True, True])
    assert [(one.predicted, one.observed, one.count) for one in curve] == [(0.02, 0.5, 2), (0.975, 1.0, 2)]


def test_risk_is_counted_from_the_most_trusted_on() -> None:
    curve = risk_coverage([0.1, 0.9, 0.8, 0.2], [False, True, False, True])
    assert {(one.coverage, one.risk) for one in curve} == {(0.25, 0), (0.5, 0.5), (0.75, 1 / 3), (1.0, 0.5)}
    assert risk_coverage([], []) == []
