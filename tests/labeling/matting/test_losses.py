"""Losses against scipy and hand-drawn cases."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from labeling.matting.losses import (
    DIVERGENCE_SIGMA,
    divergence_loss,
    least_squares_loss,
    sobel,
    supervised_losses,
)

SIDE = 64


def random_alpha() -> torch.Tensor:
    return torch.rand(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


def test_sobel_is_that_of_scipy() -> None:
    alpha = random_alpha()
    gradients = sobel(alpha).numpy()
    for sample, (across, down) in zip(alpha.numpy()[:, 0], gradients, strict=True):
        np.testing.assert_allclose(across, ndimage.sobel(sample, axis=1, mode="nearest") / 8, atol=1e-6)
        np.testing.assert_allclose(down, ndimage.sobel(sample, axis=0, mode="nearest") / 8, atol=1e-6)


def square(side: int = SIDE) -> torch.Tensor:
    person = torch.zeros(1, 1, side, side)
    person[..., 24:40, 24:40] = 1
    return person


def test_the_divergence_loss_is_zero_inside_the_segmentation() -> None:
    person = square()
    assert divergence_loss(person, person, radius_px=2) == 0


def test_the_divergence_loss_far_outside_is_the_mean_alpha() -> None:
    alpha = torch.zeros(1, 1, SIDE, SIDE)
    alpha[..., 0:8, 0:16] = 0.5
    assert divergence_loss(alpha, square(), radius_px=2).item() == pytest.approx(
        0.5 * 8 * 16 / SIDE**2, rel=1e-6
    )


def test_the_divergence_loss_applies_only_where_it_is_allowed() -> None:
    alpha = torch.zeros(1, 1, SIDE, SIDE)
    alpha[..., 0:8, 0:16] = 1
    left = torch.zeros_like(alpha)
    left[..., :8] = 1
    loss = divergence_loss(alpha, square(), radius_px=2, only_where=left)
    assert loss.item() == pytest.approx(8 * 8 / SIDE**2, rel=1e-6)


def test_the_dilated_segmentation_is_blurred_as_by_scipy() -> None:
    side, radius = 256, 5
    person = torch.zeros(1, 1, side, side)
    person[..., 100:160, 90:150] = 1
    dilated = ndimage.maximum_filter(person[0, 0].numpy(), 2 * radius + 1)
    blurred = ndimage.gaussian_filter(
        dilated.astype(float), DIVERGENCE_SIGMA * side, mode="nearest", truncate=3
    )
    far = 1 - np.maximum(blurred, person[0, 0].numpy())
    for row, column in ((130, 150), (130, 155), (130, 160), (95, 85), (20, 20)):
        alpha = torch.zeros(1, 1, side, side)
        alpha[..., row, column] = side**2
        found = divergence_loss(alpha, person, radius_px=radius).item()
        assert found == pytest.approx(far[row, column], abs=1e-5)


def test_exact_values_give_no_supervised_loss_and_others_the_mean_difference() -> None:
    alpha, color = random_alpha(), torch.rand(2, 3, SIDE, SIDE)
    background = torch.zeros(2, 3, SIDE, SIDE)
    true = {"true_alpha": alpha, "true_foreground": color, "background": background}
    assert all(term == 0 for term in supervised_losses(alpha, color, **true).values())
    terms = supervised_losses(alpha + 0.25, color, **true)
    assert terms["alpha"].item() == pytest.approx(0.25, rel=1e-5)
    assert terms["gradient"].item() == pytest.approx(0, abs=1e-6)
    assert terms["composite"].item() == pytest.approx(0.25 * color.mean().item(), rel=1e-4)


def test_colors_do_not_count_where_no_person_is() -> None:
    alpha, color = torch.zeros(1, 1, 8, 8), torch.ones(1, 3, 8, 8)
    terms = supervised_losses(
        alpha, color, true_alpha=alpha, true_foreground=-color, background=torch.zeros(1, 3, 8, 8)
    )
    assert terms["foreground"] == 0


def test_the_least_squares_loss_is_the_squared_distance_from_the_target() -> None:
    assert least_squares_loss(torch.tensor([1.0, 3.0]), 1.0).item() == pytest.approx(2.0)
