"""Scores by group of frames, and what forbids a promotion."""

from dataclasses import replace

import numpy as np
import pytest

from labeling.structures.masks import Mask, fill_box
from labeling.students.comparison import StudentComparison, compare_scores, find_refusals
from labeling.students.groups import ALL, size_group
from labeling.students.scores import ScoreTable

SIZE_HW = (40, 40)
TRUTH = fill_box((10, 10, 20, 20), SIZE_HW)


def wide(pixels: int) -> Mask:
    """Return the truth without so many of its columns."""
    return fill_box((10, 10, 20 - pixels, 20), SIZE_HW)


def compared(
    first: int, second: int, *, small: tuple[int, int], int8: int | None = None
) -> StudentComparison:
    """Compare students whose masks lack so many columns; in frames of small people other numbers."""
    names = ("new", "old") if int8 is None else ("new", "old", "new:int8")
    table = ScoreTable(names)
    for number in range(60):
        is_small = number % 3 == 0
        missing = [*(small if is_small else (first, second))]
        if int8 is not None:
            missing.append(missing[0] + int8)
        groups = ("small person",) if is_small else ("large person",)
        table.add(f"v{number % 10}", groups, TRUTH, [wide(one + number // 3 % 2) for one in missing])
    return compare_scores(table, "frozen@1:test")


def test_means_are_those_of_the_frames_of_each_group() -> None:
    table = ScoreTable(("one",))
    table.add("a", ("large person",), TRUTH, [TRUTH])
    table.add("b", ("no person",), fill_box((0, 0, 0, 0), SIZE_HW), [fill_box((0, 0, 0, 0), SIZE_HW)])
    table.add("b", ("large person",), TRUTH, [wide(10)])
    means = table.means()
    assert list(means) == [ALL, "large person", "no person"]
    assert means["large person"]["one"]["iou"] == 0.75
    assert means[ALL]["one"] == {"frames": 3, "iou": 0.8333, "boundary_iou": pytest.approx(0.83, abs=0.1)}
    assert table.videos.tolist() == [0, 1, 1]


def test_a_frame_belongs_to_the_group_of_its_smallest_person() -> None:
    image_px = SIZE_HW[0] * SIZE_HW[1]
    assert size_group(image_px // 10, SIZE_HW) == "large person"
    assert size_group(image_px // 100 - 1, SIZE_HW) == "small person"
    assert size_group(image_px // 100, SIZE_HW) == "medium person"


def test_a_better_student_is_allowed() -> None:
    found = compared(1, 4, small=(1, 4), int8=0)
    assert list(find_refusals(found)) == []
    assert found.total.iou_difference.low is not None
    assert found.total.iou_difference.low > 0
    assert found.total.iou[0] - found.total.iou[1] == pytest.approx(found.total.iou_difference.mean)


def test_a_student_that_is_worse_in_one_group_is_refused_by_name() -> None:
    [refusal] = find_refusals(compared(1, 8, small=(6, 2)))
    assert refusal.startswith(
        "small person: its IoU is 0.200 (interval -0.200 to -0.200) below and its boundary IoU"
    )
    assert refusal.endswith("below that of old")


def test_a_student_that_is_worse_on_the_whole_is_refused() -> None:
    refusals = list(find_refusals(compared(4, 2, small=(4, 2))))
    assert "its mean IoU on frozen@1:test is 0.775, that of old 0.875: it is worse" in refusals


def test_int8_is_refused_only_where_it_loses_more_than_a_hundredth() -> None:
    [refusal] = find_refusals(compared(1, 4, small=(1, 4), int8=1))
    assert "its int8 file has a mean IoU of 0.875 on frozen@1:test, 0.050 less than its ONNX file" in refusal
    found = compared(1, 4, small=(1, 4), int8=0)
    assert list(find_refusals(replace(found, int8_iou=found.total.iou[0] - 0.0099))) == []


def test_one_video_proves_nothing() -> None:
    table = ScoreTable(("new", "old"))
    for _ in range(5):
        table.add("only", (), TRUTH, [TRUTH, wide(3)])
    [refusal] = find_refusals(compare_scores(table, "frozen@1:test"))
    assert refusal.startswith("all 5 frames of frozen@1:test are of one video")
    assert np.isclose(compare_scores(table, "").total.iou_difference.mean, 0.15)
