"""The promise about accepted persons: exact bounds, the fixed sequence, and how often it holds on drawn units."""

import numpy as np
import pytest
from scipy.stats import binom

from configs.calibration import PersonStep
from configs.models import Promise
from labeling.trust.exact_bounds import bad_at_most, good_at_least, share_interval
from labeling.trust.person_steps import JudgedPerson, find_steps
from labeling.trust.promise import fewest_units, find_likely, find_promised, find_shortage

FIVE_PERCENT = Promise(max_bad=0.05, confidence=0.95)


def step(trust: float, units: int, bad: int) -> PersonStep:
    return PersonStep(trust=trust, persons=2 * units, bad=2 * bad, units=units, bad_units=bad)


@pytest.mark.parametrize(("bad", "count"), [(0, 1), (0, 59), (2, 40), (7, 9)])
def test_the_bound_is_where_so_few_bad_ones_have_the_error_s_probability(bad: int, count: int) -> None:
    assert binom.cdf(bad, count, bad_at_most(bad, count, confidence=0.9)) == pytest.approx(0.1)
    low, high = share_interval(bad, count, confidence=0.9)
    assert binom.cdf(bad, count, high) == pytest.approx(0.05)
    assert binom.sf(bad - 1, count, low) == pytest.approx(0.05 if bad else 1.0)


def test_all_or_none_are_no_special_case() -> None:
    assert bad_at_most(4, 4, confidence=0.95) == 1.0
    assert good_at_least(0, 0, confidence=0.95) == 0.0
    assert good_at_least(0, 4, confidence=0.95) == 0.0


def test_the_fewest_units_without_and_with_bad_ones() -> None:
    assert [fewest_units(bad, FIVE_PERCENT) for bad in (0, 1, 2)] == [59, 93, 124]


def test_the_lowest_threshold_before_the_first_failure_is_promised() -> None:
    steps = [step(0.9, 20, 0), step(0.8, 60, 0), step(0.7, 130, 1), step(0.6, 140, 9), step(0.5, 900, 9)]
    assert find_promised(steps, FIVE_PERCENT) == steps[2]  # the first has too few units to be tested
    assert find_promised(steps[3:], FIVE_PERCENT) is None


def test_what_is_missing_is_counted_at_the_closest_threshold() -> None:
    shortage = find_shortage([step(0.9, 20, 0), step(0.8, 50, 1), step(0.7, 60, 4)], FIVE_PERCENT)
    assert (shortage.units, shortage.bad, shortage.missing) == (20, 0, 39)
    assert find_shortage([], FIVE_PERCENT).missing == 59


def test_without_a_promise_the_share_among_the_persons_counts() -> None:
    steps = [step(0.9, 20, 0), step(0.8, 100, 5), step(0.7, 100, 6)]
    assert find_likely(steps, 0.05) == steps[1]
    assert find_likely(steps[:1], 0.01) is None  # fewer than 1 / risk


def test_one_person_of_each_unit_is_drawn_whoever_is_right() -> None:
    persons = [JudgedPerson(f"v{n % 3}", 0.9, 0.9, bool(n % 2), 0.0) for n in range(30)]
    (at_90,) = {one.units for one in find_steps(persons)}
    turned = [one._replace(is_good=not one.is_good) for one in persons]
    drawn, others = find_steps(persons)[0], find_steps(turned)[0]
    assert at_90 == 3
    assert drawn.persons == 30
    assert drawn.bad_units + others.bad_units == 3


def test_persons_of_a_low_trust_without_the_mirrored_image_are_left_out() -> None:
    persons = [JudgedPerson(f"v{n}", 0.9, n / 100, True, 0.0) for n in range(100)]
    step = find_steps(persons)[0]
    assert step.ask_from == pytest.approx(0.0495)
    assert step.persons == 95


def test_the_promise_holds_in_the_promised_share_of_calibrations() -> None:
    """Trust is the true probability; all persons of a unit are right, or none: they are as dependent as can be."""
    rng = np.random.default_rng(5)
    broken = 0
    for _ in range(40):
        units = [f"v{n}" for n in range(250)]
        trust = rng.uniform(0.7, 1.0, 250)
        good = rng.random(250) < trust
        persons = [
            JudgedPerson(unit, float(value), 1.0, bool(is_good), 0.0)
            for unit, value, is_good in zip(units, trust, good, strict=True)
            for _ in range(3)
        ]
        promised = find_promised(find_steps(persons), FIVE_PERCENT)
        broken += promised is not None and (1 - (promised.trust + 1) / 2) > FIVE_PERCENT.max_bad
    assert broken <= 4
