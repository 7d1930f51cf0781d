"""Probabilities against a second computation: all outcomes counted one by one."""

import math
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.calibration import Calibration, FrameWeights, InstanceWeights, Stage
from labeling.trust.evidence import Evidence, InstanceEvidence
from labeling.trust.probability import (
    MOST_BAD_AREA,
    Trust,
    give_trust,
    log_odds,
    measure_trust,
    probability_of_good_area,
)
from tests.labeling.strategies import draw, instances

SOMEBODY = InstanceEvidence(score=0.9, height_px=64.0, area_px=100, flip_iou=0.8)
CHEAP = Stage(
    instance=InstanceWeights(bias=-1.0, weights={"score": 1.0, "height_px": 0.25}),
    frame=FrameWeights(bias=0.5, weights={"good_area": 1.0}),
)
FULL = Stage(
    instance=InstanceWeights(bias=-1.0, weights={"score": 1.0, "flip_iou": 2.0}),
    frame=FrameWeights(bias=0.0, weights={"good_area": 1.0, "flip_iou": 0.5}),
)
CALIBRATION = Calibration(teacher="t", cheap=CHEAP, full=FULL, ask_from=0.0, thresholds=())


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def by_counting(probabilities: list[float], areas: list[float]) -> float:
    """Over all outcomes, each mask right or wrong."""
    total = 0.0
    for outcome in product([True, False], repeat=len(areas)):
        wrong = sum(area for area, is_good in zip(areas, outcome, strict=True) if not is_good)
        if wrong <= MOST_BAD_AREA * sum(areas):
            parts = zip(probabilities, outcome, strict=True)
            total += math.prod(p if is_good else 1 - p for p, is_good in parts)
    return total


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 20)), min_size=1, max_size=8))
def test_the_good_area_is_that_of_all_outcomes_counted(masks: list[tuple[float, int]]) -> None:
    # areas of whole hundredths, so that the grid is exact
    probabilities, areas = [p for p, _ in masks], [float(5 * area) for _, area in masks]
    rest = 5 * 20 * len(masks) - sum(areas)
    scale = 100 / (sum(areas) + rest)
    probabilities, areas = [*probabilities, 0.5], [*[area * scale for area in areas], rest * scale]
    if all(float(area).is_integer() for area in areas) and areas[-1]:
        expected = by_counting(probabilities, areas)
        assert probability_of_good_area(probabilities, areas) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 1e6)), min_size=1, max_size=30))
def test_the_good_area_is_a_probability_for_any_masks(masks: list[tuple[float, float]]) -> None:
    assert -1e-9 <= probability_of_good_area(*map(list, zip(*masks, strict=True))) <= 1 + 1e-9


def test_a_single_mask_is_the_whole_area() -> None:
    assert probability_of_good_area([0.7], [123]) == pytest.approx(0.7)


def test_a_fifth_of_the_area_may_be_wrong_and_no_more() -> None:
    assert probability_of_good_area([1.0, 0.0], [80, 20]) == pytest.approx(1.0)
    assert probability_of_good_area([1.0, 0.0], [79, 21]) == pytest.approx(0.0)


def test_trust_is_the_logistic_of_the_weighed_features() -> None:
    trust = measure_trust(Evidence((SOMEBODY,), flip_iou=0.8), CALIBRATION)
    instance = sigmoid(-1.0 + log_odds(0.9) + 2 * log_odds(0.8))
    assert trust is not None
    assert list(trust.instances) == [pytest.approx(instance)]
    assert trust.frame == pytest.approx(sigmoid(log_odds(instance) + 0.5 * log_odds(0.8)))


def test_without_the_mirrored_picture_the_cheap_stage_speaks() -> None:
    trust = measure_trust(Evidence((replace(SOMEBODY, flip_iou=None),)), CALIBRATION)
    instance = sigmoid(-1.0 + log_odds(0.9) + 0.25 * 6)
    assert trust is not None
    assert list(trust.instances) == [pytest.approx(instance)]
    assert trust.frame == pytest.approx(sigmoid(0.5 + log_odds(instance)))


def test_a_teacher_that_cannot_see_mirrored_pictures_has_the_cheap_stage_alone() -> None:
    lone = CALIBRATION.model_copy(update={"full": None})
    assert measure_trust(Evidence((SOMEBODY,), flip_iou=0.8), lone) == measure_trust(
        Evidence((SOMEBODY,)), lone
    )


def test_nothing_is_known_of_nobody() -> None:
    assert measure_trust(Evidence((), flip_iou=1.0), CALIBRATION) is None


@pytest.mark.parametrize("broken", [replace(SOMEBODY, score=math.nan), replace(SOMEBODY, flip_iou=math.nan)])
def test_evidence_that_is_no_number_is_not_trusted(broken: InstanceEvidence) -> None:
    trust = measure_trust(Evidence((broken,), flip_iou=0.8), CALIBRATION)
    assert trust is not None
    assert trust.instances == (0.0,)


def test_nobody_is_infinitely_sure() -> None:
    assert log_odds(1.0) == pytest.approx(math.log(99))
    assert log_odds(0.0) == pytest.approx(-math.log(99))
    assert log_odds(0.5) == 0.0


def test_each_instance_is_given_its_own_trust_and_an_empty_mask_none() -> None:
    left, empty, right = instances([draw("#."), draw(".."), draw(".#")])
    given_trust = give_trust([left, empty, right], Trust(0.5, (0.9, 0.2)))
    assert [one.trust for one in given_trust] == [0.9, None, 0.2]
    assert [one.trust for one in give_trust([left], None)] == [None]
