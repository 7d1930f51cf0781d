"""Plate metrics of hand-drawn plates, and against torchmetrics."""

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.evaluation.plate_metrics import ms_ssim, plate_metrics, psnr_db
from labeling.structures.frames import RgbImage

if TYPE_CHECKING:
    import torch

GRAY = np.full((4, 4, 3), 100, np.uint8)


def scene(random: np.random.Generator, size_hw: tuple[int, int]) -> RgbImage:
    """A photograph-like image: smooth shapes and some noise."""
    coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float64)
    return np.clip(smooth + random.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def to_gray(rgb: RgbImage) -> NDArray[np.float32]:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)


def test_errors_of_a_hand_drawn_plate() -> None:
    plate = GRAY.copy()
    plate[1:, 1:] = 121  # 9 pixels by 21 levels; those with an error or the border on all four sides: 4
    plate[0, 0] = 80  # by 20 levels, which is no error
    metrics = plate_metrics(plate, GRAY)
    assert metrics.age == pytest.approx((9 * 21 + 20) / 16)
    assert (metrics.peps, metrics.pceps) == (9 / 16, 4 / 16)
    assert metrics.psnr_db == pytest.approx(10 * math.log10(255**2 / ((9 * 21**2 + 20**2) / 16)))
    assert metrics.ms_ssim is None
    assert metrics.cqm_db is None  # no color differs


def test_equal_images_have_no_error_and_no_finite_ratio() -> None:
    image = scene(np.random.default_rng(1), (180, 200))
    metrics = plate_metrics(image, image)
    assert (metrics.age, metrics.peps, metrics.pceps, metrics.psnr_db, metrics.cqm_db) == (
        0,
        0,
        0,
        None,
        None,
    )
    assert metrics.ms_ssim == pytest.approx(1)


def test_cqm_by_hand() -> None:
    plate = GRAY.copy()
    plate[..., 0] += 8  # Y = (R + 2 G + B) // 4 by 2, V = R - G by 8, U = B - G not
    plate[..., 2] += 4  # Y by 1 more, U by 4
    luma, u, v = (20 * math.log10(255 / difference) for difference in (3, 4, 8))
    assert plate_metrics(plate, GRAY).cqm_db == pytest.approx(0.9449 * luma + 0.0551 * (u + v) / 2)


@pytest.mark.slow  # the import of torch
@pytest.mark.requires("torch", module="torchmetrics")
@pytest.mark.parametrize("size_hw", [(176, 176), (181, 240), (240, 333), (200, 177)])
def test_psnr_and_ms_ssim_agree_with_torchmetrics(size_hw: tuple[int, int]) -> None:
    import torch
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as library_ms_ssim,
    )
    from torchmetrics.functional.image import peak_signal_noise_ratio

    random = np.random.default_rng(size_hw[1])
    background = scene(random, size_hw)
    noise = random.normal(3, 3 + 8 * (size_hw[1] % 4), background.shape)
    plate = np.clip(background + noise, 0, 255).astype(np.uint8)
    plate[20:60, 30:80] = scene(random, (40, 50))
    sides = [to_gray(image) for image in (plate, background)]
    first, second = (torch.from_numpy(side)[None, None] for side in sides)
    found = ms_ssim(*sides)
    assert found == pytest.approx(ms_ssim(*sides[::-1]))
    assert found == pytest.approx(cropped_ms_ssim(first, second), abs=1e-5)
    # At the last scale, torchmetrics also counts windows that reach over the border.
    assert found == pytest.approx(float(library_ms_ssim(first, second, data_range=255.0)), abs=0.01)
    ratio = peak_signal_noise_ratio(first, second, data_range=255.0)
    assert psnr_db(*sides) == pytest.approx(float(ratio), abs=1e-4)


def cropped_ms_ssim(first: "torch.Tensor", second: "torch.Tensor") -> float:
    """Compose torchmetrics' similarity of each scale, without the windows that reach over the border."""
    from torch.nn.functional import avg_pool2d
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    product = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363):
        product *= float(ssim(first, second, data_range=255.0, return_contrast_sensitivity=True)[1]) ** weight
        first, second = avg_pool2d(first, 2), avg_pool2d(second, 2)
    similarity = ssim(first, second, data_range=255.0, return_full_image=True)[1]
    last: float = similarity[..., 5:-5, 5:-5].mean().item()
    return float(product * last**0.1333)


def test_an_image_with_a_side_too_short_for_five_scales_has_no_ms_ssim() -> None:
    images = [np.zeros(size_hw, np.float32) for size_hw in ((176, 176), (175, 300))]
    assert [ms_ssim(image, image) for image in images] == [1, None]
