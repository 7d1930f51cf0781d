"""Doubtful persons in COCO: ignored regions that pycocotools reads, and that its evaluation ignores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from labeling.datasets.formats.coco import write_coco
from labeling.datasets.ignored import ignored_region
from labeling.structures.masks import Mask
from tests.labeling.datasets.frames import SIZE_HW, frame, instance, rectangle

CERTAIN, DOUBTFUL = rectangle(5, 5, 30, 10), rectangle(5, 30, 30, 10)
POSE = tuple((32.0, 10.0 + i, 0.9) for i in range(17))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    doubtful = instance(2, DOUBTFUL, keypoints=POSE)._replace(is_doubtful=True)
    summary = write_coco([frame(1, tmp_path, instance(1, CERTAIN), doubtful)], tmp_path / "out")
    assert summary.notes[0].startswith("1 doubtful persons are ignored regions")
    return tmp_path / "out" / "annotations"


def _scores(truth: COCO, found: list[dict[str, Any]]) -> tuple[float, float]:
    """Return precision and recall at IoU 0.5."""
    evaluation = COCOeval(truth, truth.loadRes([dict(one) for one in found]), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    return float(evaluation.eval["precision"][0, :, 0, 0, 2].mean()), float(
        evaluation.eval["recall"][0, 0, 0, 2]
    )


def _found(pixels: np.ndarray[Any, Any], score: float) -> dict[str, Any]:
    return {
        "image_id": 1,
        "category_id": 1,
        "score": score,
        "segmentation": Mask.from_array(pixels).to_coco(),
    }


def test_a_doubtful_person_is_a_crowd_dilated_by_a_twentieth_of_its_height(written: Path) -> None:
    coco = COCO(str(written / "instances.json"))
    region = coco.anns[2]
    assert (coco.anns[1]["iscrowd"], region["iscrowd"]) == (0, 1)
    assert region["bbox"] == [27, 2, 16, 36]
    assert np.array_equal(coco.annToMask(region), rectangle(2, 27, 36, 16))
    assert region["area"] == 36 * 16


def test_the_evaluation_counts_a_person_found_there_neither_for_nor_against(written: Path) -> None:
    truth = COCO(str(written / "instances.json"))
    certain, there = _found(CERTAIN, 0.5), _found(DOUBTFUL, 0.9)
    elsewhere = _found(rectangle(5, 50, 30, 10), 0.9)
    assert _scores(truth, [certain, there]) == pytest.approx((1.0, 1.0))
    assert _scores(truth, [certain, elsewhere]) == pytest.approx((0.5, 1.0))


def test_a_doubtful_person_has_no_keypoints(written: Path) -> None:
    assert not COCO(str(written / "person_keypoints.json")).anns


def test_a_region_keeps_off_the_pixels_of_a_certain_neighbor_and_of_the_outside() -> None:
    near = Mask.from_array(rectangle(0, 42, 48, 10))
    region = ignored_region(Mask.from_array(rectangle(0, 40, 48, 4)), [near])
    assert not (region.to_array() & near.to_array()).any()
    assert region.size_hw == SIZE_HW
    assert region.box_xywh[0] == 37


def test_a_region_that_a_neighbor_covers_whole_is_left_out(tmp_path: Path) -> None:
    doubtful = instance(2, rectangle(10, 10, 4, 4))._replace(is_doubtful=True)
    covering = instance(1, rectangle(0, 0, *SIZE_HW))
    summary = write_coco([frame(1, tmp_path, covering, doubtful)], tmp_path / "out")
    assert not summary.notes
    assert list(COCO(str(tmp_path / "out" / "annotations" / "instances.json")).anns) == [1]
