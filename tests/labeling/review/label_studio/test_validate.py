"""Invalid tasks: Label Studio accepts all of these, so we refuse them before."""

from collections.abc import Callable
from typing import Any

import pytest

from configs.models import Review
from labeling.errors import LabelStudioError
from labeling.review.label_studio.tasks import make_task
from labeling.review.label_studio.validate import check_task
from tests.labeling.review.label_studio.results import item_of, keypoints_at, person
from tests.labeling.strategies import draw

SIZE = (3, 4)
PIXELS = draw("##..", "##..", "....")
Task = dict[str, Any]


def good_task() -> Task:
    """The student's region, then a person with one keypoint."""
    keypoints = keypoints_at(nose=(1.0, 1.5, 0.9))
    item = item_of(person(11, PIXELS, keypoints=keypoints), student=PIXELS)
    return make_task(item, Review(), "/data/x.jpg")


def data(**changes: Any) -> Callable[[Task], None]:
    return lambda task: task["data"].update(changes)


def region(position: int, **changes: Any) -> Callable[[Task], None]:
    return lambda task: task["predictions"][-1]["result"][position].update(changes)


def value(position: int, **changes: Any) -> Callable[[Task], None]:
    return lambda task: task["predictions"][-1]["result"][position]["value"].update(changes)


def test_a_good_task_passes() -> None:
    check_task(good_task(), SIZE, Review())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (data(frame_id=7), "frame_id is 7, not text"),
        (data(frame_id="seven"), "frame_id is 'seven', not a number"),
        (data(image=""), "the image has no URL"),
        (data(why=None), "why is None, not text"),
        (data(iou=float("nan")), "iou is nan"),
        (data(iou="0.5"), "iou is '0.5'"),
        (data(value=0.5), "value is 0.5, not text"),
        (data(value="1e-05"), "value is '1e-05', not text"),
        (lambda task: task["predictions"].reverse(), "predictions are"),
        (lambda task: task["predictions"].pop(), "predictions are"),
        (lambda task: task["predictions"][-1].update(score=7.0), "the teacher's score is 7.0"),
        (region(1, id="i11"), "are not unique"),
        (region(0, from_name="brush"), "region i11: it belongs to ('brush', 'image')"),
        (region(0, to_name="photo"), "region i11: it belongs to ('masks', 'photo')"),
        (region(0, score=float("inf")), "region i11: its score is inf"),
        (region(0, original_width=5), "region i11: its image has 5x3 pixels, not 4x3"),
        (value(0, brushlabels=["human"]), "region i11: its label is ['human']"),
        (value(0, rle=[0, 0, 0, 20]), "region i11: it has 20 values, an image of 4x3 has 48"),
        (value(1, keypointlabels=["tail"]), "region i11-nose: it is neither a mask nor a COCO keypoint"),
        (value(1, x=100.5), "region i11-nose: its position (100.5 %, 50.0 %) is outside the image"),
        (region(1, type="rectanglelabels"), "it is neither a mask nor a COCO keypoint"),
    ],
)
def test_the_error_names_the_frame_and_what_is_wrong(spoil: Callable[[Task], None], message: str) -> None:
    task = good_task()
    spoil(task)
    with pytest.raises(LabelStudioError, match=r"the task of frame .* would be displayed wrongly") as refused:
        check_task(task, SIZE, Review())
    assert message in str(refused.value)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(LabelStudioError, match="its image has 0x0 pixels"):
        check_task(make_task(item_of(size_hw=SIZE), Review(), "/x.jpg"), (0, 0), Review())


def test_all_errors_are_reported_together() -> None:
    task = good_task()
    task["data"].update(why=None, image=None)
    with pytest.raises(LabelStudioError, match=r"image is None.*why is None.*no URL"):
        check_task(task, SIZE, Review())
