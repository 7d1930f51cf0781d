"""Losses of clips against known values and a second implementation."""

import numpy as np
import pytest
import torch

from labeling.matting.temporal_losses import (
    PYRAMID_LEVELS,
    TEMPORAL_WEIGHTS,
    ClipTruth,
    continue_motion,
    laplacian_loss,
    laplacian_pyramid,
    temporal_difference_loss,
    temporal_losses,
    warp,
)
from labeling.video.optical_flow import bilinear_sample

SIDE = 32


def moving_square(frames: int = 3, speed: int = 2) -> torch.Tensor:
    alpha = torch.zeros(1, frames, 1, SIDE, SIDE)
    for t in range(frames):
        alpha[:, t, :, 8:20, 4 + speed * t : 16 + speed * t] = 1
    return alpha


def flow_of(alpha: torch.Tensor, speed: float) -> tuple[torch.Tensor, torch.Tensor]:
    flow = torch.zeros(1, alpha.shape[1] - 1, 2, SIDE, SIDE)
    flow[:, :, 0] = speed
    return flow, (alpha[:, :-1] > 0).float()


def test_warping_is_bilinear_sampling() -> None:
    rng = np.random.default_rng(1)
    image = rng.random((SIDE, 24), dtype=np.float32)
    flow = rng.normal(0, 2, (SIDE, 24, 2)).astype(np.float32)
    flow = (np.rint(flow * 32) / 32).astype(np.float32)  # OpenCV's positions are multiples of 1/32
    grid = np.dstack(np.meshgrid(np.arange(24), np.arange(SIDE))).astype(np.float32)
    expected = bilinear_sample(image, grid + flow)
    moved = warp(torch.from_numpy(image)[None, None], torch.from_numpy(flow).permute(2, 0, 1)[None])
    np.testing.assert_allclose(moved[0, 0].numpy(), expected, atol=1e-5)


def test_a_constant_error_that_moves_along_does_not_flicker() -> None:
    truth = moving_square()
    flow, known = flow_of(truth, 2)
    assert temporal_difference_loss(0.7 * truth, truth, flow, known).item() == pytest.approx(0, abs=1e-6)
    assert temporal_difference_loss(truth, truth, flow, known) == 0


def test_an_error_that_comes_and_goes_flickers_by_its_size() -> None:
    truth = moving_square()
    flow, known = flow_of(truth, 2)
    alpha = truth.clone()
    alpha[:, 1] *= 0.6  # the error is 0, -0.4, 0: a change of 0.4 in both steps
    share = 144 / SIDE**2
    assert temporal_difference_loss(alpha, truth, flow, known).item() == pytest.approx(0.4 * share, abs=1e-6)
    assert temporal_difference_loss(alpha, truth, flow, torch.zeros_like(known)) == 0


def test_an_outline_that_is_too_wide_costs_what_a_narrow_one_costs() -> None:
    """Else the network learns outlines that are too wide, as it did when the pixels of people counted alone."""
    truth = moving_square()
    flow, known = flow_of(truth, 2)
    wide, narrow = truth.clone(), truth.clone()
    wide[:, 1, :, 8:20, 18] = 1  # in the second frame, the column beside the square, or its last one
    narrow[:, 1, :, 8:20, 17] = 0
    costs = [temporal_difference_loss(alpha, truth, flow, known).item() for alpha in (wide, narrow)]
    assert costs[0] == pytest.approx(costs[1])
    assert costs[0] == pytest.approx(12 / SIDE**2)


def test_motion_goes_on_beside_people_but_not_over_people_whose_motion_is_unknown() -> None:
    flow, known = torch.zeros(1, 1, 2, SIDE, SIDE), torch.zeros(1, 1, 1, SIDE, SIDE)
    known[..., 8:20, 4:16] = 1
    flow[:, :, 0] = 3 * known[:, :, 0]
    person = known.clone()
    person[..., 8:20, 16:20] = 1  # another person
    continued, counted = continue_motion(flow, known, person > 0)
    assert continued[0, 0, 0, 4, 10].item() == pytest.approx(3)
    assert continued[0, 0, 1].abs().max() == 0
    assert counted[0, 0, 0, 4, 10] == 1  # beside
    assert counted[0, 0, 0, 10, 18] == 0  # the other person
    assert counted[0, 0, 0, 10, 31] == 0  # far away


def test_the_pyramid_adds_up_to_the_image() -> None:
    image = torch.rand(2, 1, 33, 48, generator=torch.Generator().manual_seed(2))
    levels = laplacian_pyramid(image)
    assert len(levels) == PYRAMID_LEVELS
    assert [level.shape[-2:] for level in levels[:3]] == [(33, 48), (17, 24), (9, 12)]
    assert laplacian_pyramid(torch.full((1, 1, 32, 32), 0.3))[0].abs().max() < 1e-6
    assert len(laplacian_pyramid(torch.zeros(1, 1, 4, 4))) == 2


def test_the_laplacian_loss_sees_edges_and_not_a_constant() -> None:
    square = moving_square(1).flatten(0, 1)
    assert laplacian_loss(square, square) == 0
    assert laplacian_loss(square * 0 + 0.2, square * 0 + 0.7).item() == pytest.approx(0, abs=1e-6)
    small, large = (laplacian_loss(square, scale * square) for scale in (0.9, 0.5))
    assert large.item() == pytest.approx(5 * small.item(), rel=1e-4)


def test_the_terms_of_a_known_case() -> None:
    """Alpha is 0.5 too low on the whole person, which is black before white: 144 of 1024 pixels."""
    truth = moving_square()
    flow, known = flow_of(truth, 2)
    black, white = -torch.ones(1, 3, 3, SIDE, SIDE), torch.ones(1, 3, 3, SIDE, SIDE)
    terms = temporal_losses(0.5 * truth, black + 0.25, ClipTruth(truth, black, white, flow, known))
    share = 144 / SIDE**2
    assert terms.keys() == TEMPORAL_WEIGHTS.keys()
    assert terms["alpha"].item() == pytest.approx(0.5 * share)
    assert terms["foreground"].item() == pytest.approx(0.25 * share)
    assert terms["composite"].item() == pytest.approx((0.5 * -0.75 + 0.5 + 1) * share)
    assert terms["temporal"].item() == pytest.approx(0, abs=1e-6)
    assert terms["laplacian"] > 0
