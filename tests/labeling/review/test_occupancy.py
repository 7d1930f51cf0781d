"""Occupancy grids, drawn by hand and compared with the pixels that they summarize."""

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.review.occupancy import CELLS, OccupancyGrid, occupancy_distances, occupancy_grids, stack_grids

SIZE_WH = (160, 320)
"""Cells of 10 x 20 pixels."""


def occupancy(*boxes_xywh: tuple[float, float, float, float], filled: float = 1.0) -> OccupancyGrid:
    """The grid of one frame whose masks fill this share of their boxes."""
    areas = [filled * w * h for *_, w, h in boxes_xywh]
    count = len(boxes_xywh)
    [grid] = occupancy_grids(boxes_xywh, areas, [SIZE_WH] * count, [0] * count, frames=1)
    return grid  # type: ignore[no-any-return]  # of numpy


def distance(first: OccupancyGrid, second: OccupancyGrid) -> float:
    return float(occupancy_distances(first, stack_grids([second]))[0])


def as_image(grid: OccupancyGrid) -> NDArray[np.float32]:
    return grid.reshape(CELLS, CELLS).astype(np.float32)


def test_a_box_covers_its_cells_in_part_or_whole() -> None:
    grid = as_image(occupancy((15, 40, 10, 30)))
    expected = np.zeros((CELLS, CELLS))
    expected[2:4, 1:3] = [[0.5, 0.5], [0.25, 0.25]]
    assert grid == pytest.approx(expected)


def test_a_grid_is_the_mean_of_the_mask_s_pixels() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, y = (int(rng.integers(0, side // 2)) for side in SIZE_WH)
        w, h = (int(rng.integers(1, side // 2)) for side in SIZE_WH)
        pixels = np.zeros(SIZE_WH[::-1])
        pixels[y : y + h, x : x + w] = 1
        cells = pixels.reshape(CELLS, 20, CELLS, 10).mean(axis=(1, 3))
        assert as_image(occupancy((x, y, w, h))) == pytest.approx(cells, abs=1e-3)


def test_a_mask_that_fills_little_of_its_box_counts_little() -> None:
    """One mask for all people has a box as wide as the image."""
    assert as_image(occupancy((0, 0, 160, 320), filled=0.1)) == pytest.approx(0.1, abs=1e-3)


def test_boxes_end_at_the_image_and_people_add_up() -> None:
    assert as_image(occupancy((-10, -20, 20, 40)))[0, 0] == 1
    assert as_image(occupancy((-10, -20, 20, 40))).sum() == 1
    assert as_image(occupancy((0, 0, 10, 20), (0, 0, 10, 20)))[0, 0] == 2


def test_boxes_without_an_area_and_frames_without_a_size_are_ignored() -> None:
    boxes = [(0, 0, 0, 20), (0, 0, 10, 0), (0, 0, 10, 20)]
    grids = occupancy_grids(boxes, [5, 5, 5], [SIZE_WH, SIZE_WH, (0, 0)], [0, 1, 2], frames=3)
    assert not grids.any()
    assert not occupancy_grids([], [], [], [], frames=2).any()


def test_frames_do_not_mix() -> None:
    boxes = [(0, 0, 10, 20), (10, 0, 10, 20)]
    grids = occupancy_grids(boxes, [200, 200], [SIZE_WH, SIZE_WH], [1, 0], frames=3)
    assert [int(grid.argmax()) for grid in grids[:2]] == [1, 0]
    assert not grids[2].any()


def test_the_distance_is_the_share_that_is_not_in_both() -> None:
    here, beside, half = occupancy((0, 0, 40, 20)), occupancy((80, 0, 40, 20)), occupancy((20, 0, 40, 20))
    assert distance(here, here) == 0
    assert distance(here, beside) == pytest.approx(1, abs=1e-4)
    assert distance(here, half) == pytest.approx(1 - 2 / 6, abs=1e-4)
    assert distance(occupancy(), occupancy()) == 0
    assert distance(occupancy(), here) == pytest.approx(1, abs=1e-4)
    assert len(occupancy_distances(here, stack_grids([]))) == 0
