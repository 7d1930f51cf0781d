"""Intervals by resampling videos, beside scipy's bootstrap, a formula, and a loop over draws."""

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from labeling.students import bootstrap as module
from labeling.students.bootstrap import bootstrap_intervals, draw_counts

RNG = np.random.default_rng(3)


def everybody(count: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.ones((1, count), dtype=bool)


def test_videos_of_equal_length_give_the_interval_of_scipy() -> None:
    videos = np.repeat(np.arange(12), 5)
    values = RNG.normal(0.03, 0.1, (60, 1)) + RNG.normal(0, 0.05, 12)[videos, None]
    [[found]] = bootstrap_intervals(values, videos, everybody(60), draws=20_000)
    of_videos = values.reshape(12, 5).mean(axis=1)
    known = bootstrap((of_videos,), np.mean, method="percentile", n_resamples=20_000, rng=RNG)
    assert found.mean == pytest.approx(of_videos.mean())
    expected = (known.confidence_interval.low, known.confidence_interval.high)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.002)


@pytest.mark.slow
def test_with_many_videos_it_is_the_normal_interval_of_the_mean_of_videos() -> None:
    values = RNG.normal(0.1, 0.2, (400, 1))
    [[found]] = bootstrap_intervals(values, np.arange(400), everybody(400))
    half = norm.ppf(0.975) * values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - half, abs=0.003)
    assert found.high == pytest.approx(values.mean() + half, abs=0.003)


def test_groups_and_unequal_videos_are_those_of_a_loop_over_the_draws() -> None:
    videos = np.array([0, 0, 0, 1, 2, 2, 3, 3, 3, 3])
    values, members = RNG.random((10, 2)), RNG.random((3, 10)) < 0.6
    members[2] = videos == 1
    found = bootstrap_intervals(values, videos, members, seed=5, draws=300)
    counts = draw_counts(4, draws=300, rng=np.random.default_rng(5))
    for group, member in enumerate(members[:2]):
        means = []
        for count in counts:
            drawn = [frame for frame in np.flatnonzero(member) for _ in range(count[videos[frame]])]
            if drawn:
                means.append(values[drawn].mean(axis=0))
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        assert [one.low for one in found[group]] == pytest.approx(low)
        assert [one.high for one in found[group]] == pytest.approx(high)
    assert [(one.low, one.high) for one in found[2]] == [(None, None)] * 2  # of one video
    assert found[2][0].mean == pytest.approx(values[3, 0])


def test_the_draws_do_not_depend_on_how_they_are_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (RNG.random((20, 1)), np.arange(20) // 2, everybody(20))
    whole = bootstrap_intervals(*arguments, draws=100)
    monkeypatch.setattr(module, "_BLOCK", 70)
    assert bootstrap_intervals(*arguments, draws=100) == whole
    assert bootstrap_intervals(*arguments, draws=100, seed=1) != whole
