import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy import ndimage

from labeling.datasets.formats.polygons import Points, bridge_outlines, edge_outlines, inner_outlines
from labeling.structures.masks import Mask


def _random_pixels(seed: int) -> NDArray[np.bool_]:
    """Return speckles, or blobs with holes and islands, up to 40 pixels wide."""
    generator = np.random.default_rng(seed)
    pixels = generator.random(generator.integers(1, 40, 2)) < generator.choice([0.05, 0.4, 0.8])
    pixels.flat[generator.integers(pixels.size)] = True
    return ndimage.binary_dilation(pixels) if seed % 2 else pixels


def _drawn_by_pycocotools(mask: Mask) -> NDArray[np.bool_]:
    rles = coco_mask.frPyObjects([part.ravel().tolist() for part in edge_outlines(mask)], *mask.size_hw)
    return Mask.from_coco(coco_mask.merge(rles)).to_array()


def _drawn_by_opencv(polygons: list[Points], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw a label as YOLO trainers do: truncate to whole pixels, fill with the border."""
    canvas = np.zeros(size_hw, dtype=np.uint8)
    for polygon in polygons:
        cv2.fillPoly(canvas, [polygon.astype(np.int32)], 1)
    return canvas.astype(bool)


@pytest.mark.parametrize("seed", range(60))
def test_drawn_outlines_are_the_mask_with_its_holes_filled(seed: int) -> None:
    mask = Mask.from_array(_random_pixels(seed))
    filled = ndimage.binary_fill_holes(mask.to_array())
    np.testing.assert_array_equal(_drawn_by_pycocotools(mask), filled)
    np.testing.assert_array_equal(_drawn_by_opencv(inner_outlines(mask), mask.size_hw), filled)


def test_a_single_pixel_has_four_corners() -> None:
    pixels = np.zeros((4, 4), dtype=bool)
    pixels[2, 1] = True
    (edge,), (inner,) = edge_outlines(Mask.from_array(pixels)), inner_outlines(Mask.from_array(pixels))
    assert sorted(map(tuple, edge.tolist())) == [(1, 2), (1, 3), (2, 2), (2, 3)]
    assert sorted(map(tuple, inner.tolist())) == [(1.25, 2.25), (1.25, 2.75), (1.75, 2.25), (1.75, 2.75)]


def test_an_l_has_six_corners() -> None:
    pixels = np.array([[1, 0], [1, 0], [1, 1]], dtype=bool)
    (edge,) = edge_outlines(Mask.from_array(pixels))
    assert {tuple(point) for point in edge.tolist()} == {(0, 0), (1, 0), (1, 2), (2, 2), (2, 3), (0, 3)}
    assert len(edge) == 6


def test_the_biggest_part_comes_first() -> None:
    pixels = np.zeros((10, 10), dtype=bool)
    pixels[0, 0] = pixels[4:8, 4:8] = True
    assert [len(part) for part in edge_outlines(Mask.from_array(pixels))] == [4, 4]
    assert edge_outlines(Mask.from_array(pixels))[0].min() == 4


def test_bridged_parts_keep_their_area_and_meet_at_their_nearest_points() -> None:
    left = np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 2.0], [2.0, 0.0]])
    right = left + np.array([5.0, 2.0])
    joined = bridge_outlines([left, right])
    assert _area(joined) == _area(left) + _area(right) == 8
    assert joined.tolist() == [
        [0, 0], [0, 2], [2, 2], [5, 2], [5, 4], [7, 4], [7, 2], [5, 2], [2, 2], [2, 0],
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_bridges_add_no_area_whatever_the_number_of_parts(seed: int) -> None:
    parts = inner_outlines(Mask.from_array(_random_pixels(seed)))
    assert _area(bridge_outlines(parts)) == pytest.approx(sum(_area(part) for part in parts))


def _area(polygon: Points) -> float:
    return abs(cv2.contourArea(polygon.astype(np.float32), oriented=True))
