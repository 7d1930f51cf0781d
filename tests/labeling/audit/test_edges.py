"""Outlines on the edges of an image, and moved ones."""

import cv2
import numpy as np
import pytest

from labeling.audit.edges import EdgeMap
from labeling.structures.frames import RgbImage
from labeling.structures.masks import Mask


def disk(x: int, y: int, radius: int, size_hw: tuple[int, int] = (120, 160)) -> Mask:
    pixels = np.zeros(size_hw, dtype=np.uint8)
    cv2.circle(pixels, (x, y), radius, 1, -1)
    return Mask.from_array(pixels)


@pytest.fixture
def image() -> RgbImage:
    """A bright disk on smooth noise."""
    rgb = np.random.default_rng(0).integers(60, 120, (120, 160, 3), dtype=np.uint8)
    rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), 2), dtype=np.uint8)
    rgb[disk(70, 60, 30).to_array()] = 220
    return rgb


def test_an_outline_on_edges_fits_better_than_beside_them(image: RgbImage) -> None:
    edges = EdgeMap.of(image)
    right, moved = edges.fit(disk(70, 60, 30)), edges.fit(disk(78, 60, 30))
    assert right is not None
    assert moved is not None
    assert right > 1.3
    assert moved < 1


def test_other_brightness_does_not_change_the_fit(image: RgbImage) -> None:
    fits = [EdgeMap.of(np.asarray(image // share, dtype=np.uint8)).fit(disk(70, 60, 30)) for share in (1, 2)]
    assert fits[1] == pytest.approx(fits[0], rel=0.1)


@pytest.mark.parametrize("mask", [Mask.empty((120, 160)), disk(70, 60, 0), disk(80, 60, 300)])
def test_a_mask_without_an_outline_in_the_image_has_no_fit(image: RgbImage, mask: Mask) -> None:
    assert EdgeMap.of(image).fit(mask) is None


def test_a_flat_image_has_no_edges() -> None:
    assert EdgeMap.of(np.full((120, 160, 3), 90, dtype=np.uint8)).fit(disk(70, 60, 30)) is None


def test_a_mask_at_the_border_is_compared_by_the_rest_of_its_outline(image: RgbImage) -> None:
    rgb = np.ascontiguousarray(image[:, 55:])
    mask = Mask.from_array(disk(70, 60, 30).to_array()[:, 55:])
    fit = EdgeMap.of(rgb).fit(mask)
    assert fit is not None
    assert fit > 1.1
