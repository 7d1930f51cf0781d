"""IoU with ground truth, of which a part may be unknown."""

from pathlib import Path

import numpy as np
import pytest

from labeling.errors import ModelOutputWrong
from labeling.evaluation.frames import evaluate_frame, iou_with_truth
from labeling.masks import Mask
from labeling.pipeline import LabelledFrame
from labeling.truth.pictures import LabelledPicture

SIZE_HW = (10, 20)


def box(x: int, w: int) -> Mask:
    """All rows of some columns."""
    pixels = np.zeros(SIZE_HW, bool)
    pixels[:, x : x + w] = True
    return Mask.from_array(pixels)


def truth(*people: Mask, ignored: Mask | None = None) -> LabelledPicture:
    return LabelledPicture(Path("a.jpg"), SIZE_HW, people, ignored or Mask.empty(SIZE_HW))


def test_everybodys_masks_are_compared_together() -> None:
    assert iou_with_truth([box(0, 4), box(4, 4)], truth(box(2, 8))) == pytest.approx(6 / 10)


def test_what_is_ignored_counts_neither_for_nor_against() -> None:
    seen = [box(0, 4), box(12, 8)]  # the second on ignored ground
    assert iou_with_truth(seen, truth(box(0, 2), ignored=box(12, 8))) == pytest.approx(0.5)
    assert iou_with_truth([box(12, 8)], truth(ignored=box(12, 8))) == 1


def test_nobody_where_nobody_is_is_right() -> None:
    assert iou_with_truth([], truth()) == 1
    assert iou_with_truth([box(0, 3)], truth()) == pytest.approx(0, abs=1e-6)
    assert iou_with_truth([], truth(box(0, 3))) == pytest.approx(0, abs=1e-6)


def test_a_truth_of_another_size_is_told() -> None:
    row = LabelledFrame(0, 0, 0.0, "a.jpg", "easy", size_hw=(5, 5))
    with pytest.raises(
        ModelOutputWrong, match=r"a.jpg: \(10, 20\) \(height, width\), the picture has \(5, 5\)"
    ):
        evaluate_frame("set", truth(), row)
