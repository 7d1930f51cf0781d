"""One person's strip."""

import numpy as np
import pytest

from labeling.structures.masks import Mask
from labeling.visualization.frames import STUDENT, TEACHER
from labeling.visualization.strip import CELL_HW, WORST, StripCell, crop_person, draw_strip, find_worst

GRAY = np.full((200, 300, 3), 90, dtype=np.uint8)


def person(top: int, left: int, height: int, width: int) -> Mask:
    pixels = np.zeros((200, 300), dtype=bool)
    pixels[top : top + height, left : left + width] = True
    return Mask.from_array(pixels)


def cell(iou: float | None) -> StripCell:
    return StripCell(np.full((*CELL_HW, 3), 200, dtype=np.uint8), "0:01.5", iou)


def test_a_crop_shows_the_person_in_the_middle_with_both_outlines() -> None:
    drawn = crop_person(GRAY, person(60, 100, 80, 30), [person(60, 100, 40, 30)])
    assert drawn.shape == (*CELL_HW, 3)
    rows, columns = np.nonzero((drawn == TEACHER).all(axis=2))
    assert (rows.min() + rows.max()) / 2 == pytest.approx(CELL_HW[0] / 2, abs=3)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(CELL_HW[1] / 2, abs=3)
    assert rows.max() - rows.min() == pytest.approx(CELL_HW[0] / 1.3, abs=4)
    assert (drawn == STUDENT).all(axis=2).any()


@pytest.mark.parametrize("at", [(0, 0, 60, 20), (150, 285, 50, 15), (0, 0, 200, 300), (10, 10, 1, 1)])
def test_a_person_at_the_border_or_of_any_size_has_a_crop(at: tuple[int, int, int, int]) -> None:
    drawn = crop_person(GRAY, person(*at), [])
    assert drawn.shape == (*CELL_HW, 3)
    assert (drawn == TEACHER).all(axis=2).any()


def test_the_lowest_iou_is_marked() -> None:
    cells = [cell(0.9), cell(None), cell(0.2), cell(0.6)]
    strip = draw_strip(cells)
    marked = np.nonzero((strip == WORST).all(axis=2))[1]
    column = strip.shape[1] / len(cells)
    assert {int(x // column) for x in (marked.min() + 4, marked.max() - 4)} == {2}
    assert find_worst([cell(1.0), cell(None)]) is None
    assert not (draw_strip([cell(1.0), cell(None)]) == WORST).all(axis=2).any()


def test_cells_go_on_in_the_next_row() -> None:
    one, two = draw_strip([cell(0.5)] * 3, columns=3), draw_strip([cell(0.5)] * 4, columns=3)
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] > 1.9 * one.shape[0]


def test_a_strip_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw_strip([])
