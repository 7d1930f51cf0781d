"""IoU with ground truth, of which a part may be ignored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import ModelOutputWrong
from configs.models import Agreement
from labeling.comparison.agreement import compare_instances
from labeling.evaluation.detection_metrics import ImageMatch, ImageMatches
from labeling.evaluation.evaluate import (
    boundary_iou_with_ground_truth,
    evaluate_frame,
    iou_with_ground_truth,
)
from labeling.evaluation.frames import LabeledImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.structures.records import LabeledFrame

SIZE_HW = (10, 20)


def box(x: int, w: int) -> Mask:
    """Return all rows of some columns."""
    pixels = np.zeros(SIZE_HW, bool)
    pixels[:, x : x + w] = True
    return Mask.from_array(pixels)


def truth(*people: Mask, ignored: Mask | None = None) -> LabeledImage:
    return LabeledImage(Path("a.jpg"), SIZE_HW, people, ignored or Mask.empty(SIZE_HW))


def test_the_masks_of_all_people_are_compared_together() -> None:
    assert iou_with_ground_truth([box(0, 4), box(4, 4)], truth(box(2, 8))) == pytest.approx(6 / 10)


def test_ignored_regions_do_not_count() -> None:
    seen = [box(0, 4), box(12, 8)]  # the second is ignored
    assert iou_with_ground_truth(seen, truth(box(0, 2), ignored=box(12, 8))) == pytest.approx(0.5)
    assert iou_with_ground_truth([box(12, 8)], truth(ignored=box(12, 8))) == 1


def test_no_mask_is_right_where_no_person_is() -> None:
    assert iou_with_ground_truth([], truth()) == 1
    assert iou_with_ground_truth([box(0, 3)], truth()) == pytest.approx(0, abs=1e-6)
    assert iou_with_ground_truth([], truth(box(0, 3))) == pytest.approx(0, abs=1e-6)


def test_the_boundary_counts_near_the_contours_of_whole_unions_only() -> None:
    # of 10x20 px the band is one pixel wide, and the image's border is a contour
    assert boundary_iou_with_ground_truth([box(0, 4), box(4, 4)], truth(box(0, 8))) == 1
    assert boundary_iou_with_ground_truth([box(2, 8)], truth(box(2, 8), ignored=box(5, 15))) == 1
    # 32 and 30 pixels of contour, of which the left column and 12 of the rows' ends are common
    assert boundary_iou_with_ground_truth([box(2, 8)], truth(box(2, 7))) == pytest.approx(22 / 40)
    assert boundary_iou_with_ground_truth([], truth()) == 1
    assert boundary_iou_with_ground_truth([box(0, 3)], truth()) == 0


def test_ground_truth_of_another_size_is_refused() -> None:
    row = LabeledFrame(0, 0, 0.0, "a.jpg", "easy", size_hw=(5, 5))
    with pytest.raises(
        ModelOutputWrong, match=r"ground truth of a\.jpg: the mask is 20x10 px, its frame 5x5"
    ):
        evaluate_frame("set", truth(), row, CARDS)


CARDS = {role: ModelCard("kind", role, "", "{}") for role in ("teacher", "student")}


def test_ground_truth_of_boxes_has_no_mask_metrics() -> None:
    person = Instance(box(0, 4), 1.0, (0, 0, 4, 10))
    agreement = compare_instances([person], [], SIZE_HW, Agreement())
    row = LabeledFrame(
        0, 0, 0.0, "a.jpg", "review", agreement=agreement, trust=0.9, priority=0.1, teacher=(person,)
    )
    boxed = replace(truth(), boxes=((0, 0, 4, 10), (9, 0, 4, 10)), tracks=("b", "a"))
    found = evaluate_frame("set", boxed, row, CARDS)
    assert (found.people, found.value) == (2, 0.1)
    assert found.agreement == agreement.iou
    assert (found.teacher_iou, found.student_iou, found.corrected_px, found.trust) == (None,) * 4
    assert found.teacher_people == ImageMatch(None, ImageMatches((1.0, 0.0), 1, 1))
    assert found.student_people == ImageMatch(None, ImageMatches((0.0, 0.0), 0, 0))
    assert found.tracks == ("a", "b")
    assert evaluate_frame("set", replace(boxed, is_partial=True), row, CARDS).agreement == found.agreement


def test_people_are_not_matched_for_a_semantic_model_or_a_rejected_frame() -> None:
    agreement = compare_instances([], [], SIZE_HW, Agreement())
    row = LabeledFrame(0, 0, 0.0, "a.jpg", "easy", agreement=agreement)
    semantic = {**CARDS, "student": replace(CARDS["student"], gives_instances=False)}
    found = evaluate_frame("set", truth(box(0, 4)), row, semantic)
    assert found.teacher_people is not None
    assert found.student_people is None
    rejected = evaluate_frame("set", truth(box(0, 4)), replace(row, agreement=None), CARDS)
    assert rejected.teacher_people is None
