"""The guided filter against the formulas of its paper, and as a refiner."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.refinement import GuidedFilterBlock
from labeling.matting.guided_filter import guided_filter
from labeling.refinement.guided_filter import GuidedFilterRefiner
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, iou_matrix
from tests.labeling.segmenters.images import make_frame


def filter_pixel_by_pixel(guide: NDArray[Any], image: NDArray[Any], radius: int, eps: float) -> NDArray[Any]:
    """Return equations 14 to 16 of He et al. (5 to 8 for one channel), one window after the other."""
    height, width = image.shape
    colors = guide.reshape(height, width, -1)
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            rows = slice(max(0, y - radius), y + radius + 1)
            columns = slice(max(0, x - radius), x + radius + 1)
            samples = colors[rows, columns].reshape(-1, colors.shape[2])
            values = image[rows, columns].ravel()
            mean = samples.mean(axis=0)
            sigma = (samples - mean).T @ (samples - mean) / len(samples)
            covariance = (samples * values[:, None]).mean(axis=0) - mean * values.mean()
            slope = np.linalg.inv(sigma + eps * np.eye(len(mean))) @ covariance
            a_and_b = slope, values.mean() - slope @ mean
            # The window of (y, x) adds its slope and offset to each of its pixels.
            total[rows, columns] += colors[rows, columns] @ a_and_b[0] + a_and_b[1]
            count[rows, columns] += 1
    filtered: NDArray[Any] = total / count
    return filtered


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize(("radius", "eps"), [(1, 1e-4), (3, 1e-2), (20, 1e-3)])
def test_it_is_the_filter_of_the_paper(channels: int | None, radius: int, eps: float) -> None:
    rng = np.random.default_rng(radius)
    size = (13, 17) if channels is None else (13, 17, channels)
    guide, image = rng.random(size), (rng.random((13, 17)) > 0.5).astype(np.float64)
    expected = filter_pixel_by_pixel(guide, image, radius, eps)
    assert guided_filter(guide, image, radius, eps) == pytest.approx(expected, abs=1e-9)


def disc(center_yx: tuple[int, int], radius: int, size_hw: tuple[int, int] = (80, 100)) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    inside: NDArray[np.bool_] = (rows - center_yx[0]) ** 2 + (columns - center_yx[1]) ** 2 <= radius**2
    return inside


def paint(*parts: tuple[NDArray[np.bool_], tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Paint parts on gray with a little noise."""
    rgb = np.full((80, 100, 3), 110.0) + np.random.default_rng(0).normal(0, 2, (80, 100, 3))
    for inside, color in parts:
        rgb[inside] += np.array(color, dtype=np.float64) - 110
    return np.clip(rgb, 0, 255).astype(np.uint8)


def refine(rgb: NDArray[np.uint8], *pixels: NDArray[np.bool_], **settings: Any) -> list[Mask]:
    refiner = GuidedFilterRefiner(GuidedFilterBlock.model_validate({"radius": 0.25} | settings))
    people = [Instance(mask, 0.9, mask.box_xywh) for mask in map(Mask.from_array, pixels)]
    [found] = refiner.refine([make_frame(rgb)], [people])
    return [person.mask for person in found]


@pytest.mark.parametrize("guide", ["color", "gray"])
@pytest.mark.parametrize("error_px", [-3, 3])
def test_a_contour_moves_to_the_edge_of_the_image(guide: str, error_px: int) -> None:
    true = disc((40, 50), 20)
    [found] = refine(paint((true, (200, 40, 40))), disc((40, 50), 20 + error_px), guide=guide)
    before, after = iou_matrix(
        [Mask.from_array(disc((40, 50), 20 + error_px)), found], [Mask.from_array(true)]
    )
    assert before < 0.8
    assert after > 0.93


def test_a_person_does_not_grow_into_the_mask_of_another() -> None:
    both = disc((40, 50), 20)
    columns = np.arange(100)
    left, right = both & (columns < 50), both & (columns >= 50)
    found = refine(paint((both, (200, 40, 40))), left, right)
    first, second = (mask.to_array() for mask in found)
    assert not (first & right).any()
    assert not (second & left).any()


def test_a_mask_at_the_border_and_an_empty_one_keep_their_place() -> None:
    corner = disc((0, 0), 15)
    found = refine(paint((corner, (200, 40, 40))), corner, np.zeros((80, 100), dtype=bool))
    assert iou_matrix([found[0]], [Mask.from_array(corner)])[0, 0] > 0.95
    assert not found[1]


def test_its_card_has_no_weights() -> None:
    card = GuidedFilterRefiner(GuidedFilterBlock(eps=0.01)).card
    assert (card.kind, card.name, card.weights_sha256) == ("guided_filter", "color", "")
    assert card.settings == '{"eps": 0.01, "radius": 0.02}'
