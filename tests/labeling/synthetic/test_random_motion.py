"""Random motion: smooth, eased between key times, and a flow that is the exact fixed point."""

import numpy as np
import pytest

from configs.errors import ConfigError
from labeling.synthetic.random_motion import (
    GRIDS,
    MAX_JACOBIAN,
    Wobble,
    flow_between,
    half_out_shift,
    pixel_grid,
)
from labeling.video.optical_flow import bilinear_sample

SIZE = (64, 96)
ALL = (slice(None), slice(None))


def wobble(seed: int, *, amplitudes: tuple[float, ...] = (0.04, 0.015, 0.006)) -> Wobble:
    rng = np.random.default_rng(seed)
    return Wobble.random(rng, SIZE, frames=13, key_every=6.0, amplitudes=amplitudes)


def test_displacements_stay_within_the_amplitudes() -> None:
    largest = max(np.abs(wobble(seed).at(frame)).max() for seed in range(5) for frame in (0, 6, 12))
    bound = (0.04 + 0.015 + 0.006) * 64
    assert 0.3 * bound < largest < 1.2 * bound  # bicubic weights overshoot a little


def test_key_times_show_the_states_and_the_motion_is_slow_near_them() -> None:
    made = wobble(1)
    steps = [np.abs(made.at(i + 1) - made.at(i)).mean() for i in range(12)]
    assert steps[0] < 0.5 * steps[2]
    assert steps[6] < 0.5 * steps[8]
    only_first = Wobble(tuple(states[:1] for states in made.states), 6.0, SIZE)
    assert np.allclose(made.at(0), only_first.at(0))


def test_the_jacobian_agrees_with_finite_differences_of_the_field() -> None:
    made = wobble(3)
    by_y, by_x = (np.diff(made.at(6), axis=axis) for axis in (0, 1))
    matrices = np.stack([by_x[:-1], by_y[:, :-1]], axis=-1)
    assert np.linalg.norm(matrices, ord=2, axis=(2, 3)).max() < 1.3 * made.largest_jacobian()
    assert made.largest_jacobian() <= MAX_JACOBIAN


def test_too_large_amplitudes_are_refused() -> None:
    with pytest.raises(ConfigError, match="smooth enough; set smaller ones"):
        wobble(1, amplitudes=(2.0, 2.0, 2.0))


def test_the_flow_of_a_shift_is_the_shift() -> None:
    now, later = np.zeros((*SIZE, 2), np.float32), np.zeros((*SIZE, 2), np.float32)
    later[..., 0] = -3.0  # D = -s: the body is 3 px further right
    flow, ends = flow_between(now, later, ALL)
    assert np.allclose(flow, (3.0, 0.0))
    assert np.allclose(ends, pixel_grid(SIZE) + flow)


def test_the_flow_leads_to_the_same_point_of_the_body() -> None:
    made = wobble(4)
    now, later = made.at(3), made.at(4)
    flow, ends = flow_between(now, later, ALL)
    inside = ((ends >= 0) & (ends <= (SIZE[1] - 1, SIZE[0] - 1))).all(axis=2)
    body_now, body_later = pixel_grid(SIZE) + now, ends + bilinear_sample(later, ends)
    assert np.abs(body_now - body_later)[inside].max() < 0.01
    assert np.abs(flow).max() > 0.3


def test_the_flow_of_a_window_is_that_part_of_the_flow() -> None:
    made = wobble(5)
    window = (slice(10, 30), slice(40, 60))
    whole, part = (flow_between(made.at(2), made.at(3), rows)[0] for rows in (ALL, window))
    assert np.array_equal(whole[window], part)


@pytest.mark.parametrize("frames", [2, 3, 24, 25, 72])
def test_the_shift_puts_the_center_on_the_edge_once(frames: int) -> None:
    shift = half_out_shift(30.0, 96.0, frames)
    assert len(shift) == frames
    assert shift[frames // 2] == pytest.approx(66.0)
    assert shift[0] == 0
    assert shift.argmax() == frames // 2
    if frames > 2:
        assert shift[-1] == pytest.approx(0)


def test_scales_have_the_grids_of_the_paper() -> None:
    assert [states.shape[1:3] for states in wobble(0).states] == [(grid, grid) for grid in GRIDS]
