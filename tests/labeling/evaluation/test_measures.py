"""Measures against their definitions, written out."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.evaluation.measures import auroc, average_precision, share

RANKED = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30)
"""Few different scores: ties are where such functions go wrong."""


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
