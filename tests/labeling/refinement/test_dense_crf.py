"""The dense CRF: the window against the exact sums, and as a refiner."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.refinement import DenseCrfBlock
from labeling.refinement.dense_crf import DenseCrfRefiner, soften
from labeling.refinement.dense_crf_inference import CrfConstants, Window, refine_exactly, refine_in_window
from labeling.refinement.dense_crf_search import CrfCase, mean_iou, search_constants
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, iou_matrix
from tests.labeling.segmenters.images import make_frame


def smooth_noise(seed: int, size_hw: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return an image and probabilities, both with blobs."""
    rng = np.random.default_rng(seed)
    rgb = cv2.GaussianBlur(rng.integers(0, 256, (*size_hw, 3)).astype(np.uint8), (0, 0), 3)
    rgb = cv2.normalize(rgb, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    blobs = cv2.GaussianBlur(rng.random(size_hw).astype(np.float32), (0, 0), 4)
    return rgb.astype(np.uint8), np.asarray((blobs - blobs.min()) / np.ptp(blobs), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "constants"),
    [
        (48, CrfConstants()),
        (24, CrfConstants(appearance_weight=2, appearance_sigma_px=10, color_sigma=20, iterations=3)),
    ],
)
def test_a_window_over_the_whole_image_equals_the_exact_sums(side: int, constants: CrfConstants) -> None:
    rgb, probability = smooth_noise(0, (side, side))
    exact = refine_exactly(rgb, probability, constants)
    assert np.abs(refine_in_window(rgb, probability, constants, Window(side)) - exact).max() < 1e-3
    assert np.abs(exact - probability).mean() > 0.05  # it did something


def test_it_is_the_mean_field_of_the_paper_pixel_by_pixel() -> None:
    rgb, probability = smooth_noise(1, (5, 6))
    constants = CrfConstants(appearance_sigma_px=4, iterations=2)

    def kernel(a: int, b: int, *, appearance: bool) -> float:
        (ya, xa), (yb, xb) = divmod(a, 6), divmod(b, 6)
        distance = (ya - yb) ** 2 + (xa - xb) ** 2
        if not appearance:
            return float(np.exp(-distance / (2 * 3**2)))
        color = ((rgb[ya, xa].astype(float) - rgb[yb, xb]) ** 2).sum()
        return float(np.exp(-distance / (2 * 4**2) - color / (2 * 13**2)))

    q = np.stack([1 - probability.ravel(), probability.ravel()]).astype(np.float64).clip(1e-4, 1 - 1e-4)
    unary = -np.log(q)
    for _ in range(2):
        cost = unary.copy()
        for appearance, weight in ((True, 10.0), (False, 3.0)):
            k = np.array(
                [[kernel(a, b, appearance=appearance) * (a != b) for b in range(30)] for a in range(30)]
            )
            root = np.sqrt(k.sum(axis=1))
            k /= root[:, None] * root
            cost += weight * np.stack([k @ q[1], k @ q[0]])  # a different label costs
        belief = np.exp(-cost)
        q = belief / belief.sum(axis=0)
    assert refine_exactly(rgb, probability, constants).ravel() == pytest.approx(q[1], abs=1e-4)


def test_an_image_too_large_for_the_exact_sums_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 4096 pixels"):
        refine_exactly(np.zeros((65, 64, 3), np.uint8), np.zeros((65, 64), np.float32), CrfConstants())


def disc(center_yx: tuple[int, int], radius: int, size_hw: tuple[int, int] = (90, 100)) -> NDArray[Any]:
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    inside: NDArray[Any] = (rows - center_yx[0]) ** 2 + (columns - center_yx[1]) ** 2 < radius**2
    return inside


def refine(block: DenseCrfBlock, rgb: NDArray[np.uint8], *masks: NDArray[Any]) -> list[Mask]:
    people = [Instance(Mask.from_array(mask), 0.9, Mask.from_array(mask).box_xywh) for mask in masks]
    return [one.mask for one in DenseCrfRefiner(block).refine([make_frame(rgb)], [people])[0]]


@pytest.mark.parametrize(("backend", "side_px"), [("window", 160), ("exact", 32)])
def test_a_mask_that_is_shifted_moves_to_the_colors_of_its_object(backend: Any, side_px: int) -> None:
    truth, given = disc((45, 50), 20), disc((47, 53), 20)
    rgb = np.where(truth[..., None], (200, 90, 60), (60, 120, 160)).astype(np.uint8)
    (refined,) = refine(
        DenseCrfBlock(backend=backend, side_px=side_px, softness=0.1, appearance_weight=5), rgb, given
    )
    before, after = (
        float(iou_matrix([Mask.from_array(truth)], [one])[0, 0]) for one in (Mask.from_array(given), refined)
    )
    assert before < 0.85
    assert after > 0.95


def test_a_mask_does_not_grow_into_that_of_another() -> None:
    left, right = disc((45, 35), 16), disc((45, 64), 12)
    rgb = np.where((left | disc((45, 64), 16))[..., None], 220, 30).astype(np.uint8).repeat(3, axis=2)
    first, second = (mask.to_array() > 0 for mask in refine(DenseCrfBlock(), rgb, left, right))
    assert not (first & right).any()
    assert not (second & left).any()


def test_an_empty_mask_stays_and_the_card_names_the_backend() -> None:
    empty = Mask.empty((90, 100))
    refiner = DenseCrfRefiner(DenseCrfBlock())
    people = [Instance(empty, 0.9, (1.0, 2.0, 3.0, 4.0))]
    assert refiner.refine([make_frame(np.zeros((90, 100, 3), np.uint8))], [people]) == [people]
    assert (refiner.card.kind, refiner.card.name) == ("dense_crf", "window")
    assert soften(disc((45, 50), 20), 2.0).max() == pytest.approx(0.98)


def test_the_search_finds_constants_that_are_better_than_those_it_starts_with() -> None:
    truth, given = disc((45, 50), 20), disc((46, 52), 20)
    rgb = np.where(truth[..., None], (200, 90, 60), (60, 120, 160)).astype(np.uint8)
    mask = Mask.from_array(given)
    case = CrfCase(make_frame(rgb), (Instance(mask, 0.9, mask.box_xywh),), (Mask.from_array(truth),))
    start = DenseCrfBlock(side_px=40, radius_px=6, dilation=3, appearance_weight=0.5, iterations=2)
    seen: list[float] = []
    best = search_constants([case], start, report=lambda _, iou: seen.append(iou))
    assert seen == sorted(seen)
    assert mean_iou([case], best) == seen[-1] > seen[0]
