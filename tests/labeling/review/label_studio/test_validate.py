"""What a task may not be: Label Studio takes anything, so each of these is refused before."""

from collections.abc import Callable
from typing import Any

import pytest

from configs.models import Review
from labeling.errors import LabelStudioError
from labeling.review.label_studio.tasks import make_task
from labeling.review.label_studio.validate import check_task
from tests.labeling.review.label_studio.answers import item_of, joints_at, person
from tests.labeling.strategies import draw

SIZE = (3, 4)
PIXELS = draw("##..", "##..", "....")
Task = dict[str, Any]


def good_task() -> Task:
    """The student's region, then a person with one joint."""
    keypoints = joints_at(nose=(1.0, 1.5, 0.9))
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
    ("spoil", "words"),
    [
        (data(frame_id=7), "frame_id is 7, not text"),
        (data(frame_id="seven"), "frame_id is 'seven', not a number"),
        (data(image=""), "there is no address of the image"),
        (data(why=None), "why is None, not text"),
        (data(iou=float("nan")), "iou is nan"),
        (data(iou="0.5"), "iou is '0.5'"),
        (data(value=0.5), "value is 0.5, not text"),
        (data(value="1e-05"), "value is '1e-05', not text"),
        (lambda task: task["predictions"].reverse(), "predictions are"),
        (lambda task: task["predictions"].pop(), "predictions are"),
        (lambda task: task["predictions"][-1].update(score=7.0), "the teacher's score is 7.0"),
        (region(1, id="i11"), "not called differently"),
        (region(0, from_name="brush"), "region i11: belongs to ('brush', 'image')"),
        (region(0, to_name="image"), "region i11: belongs to ('masks', 'image')"),
        (region(0, score=float("inf")), "region i11: has the score inf"),
        (region(0, original_width=5), "region i11 is of an image of 5x3 pixels, not 4x3"),
        (value(0, brushlabels=["human"]), "region i11: is called ['human']"),
        (value(0, rle=[0, 0, 0, 20]), "region i11: has 20 values, an image of 4x3 has 48"),
        (value(1, keypointlabels=["tail"]), "region i11-nose: is neither a mask nor one of COCO's joints"),
        (value(1, x=100.5), "region i11-nose: lies at (100.5 %, 50.0 %)"),
        (region(1, type="rectanglelabels"), "is neither a mask nor one"),
    ],
)
def test_what_is_wrong_is_named_with_the_frame(spoil: Callable[[Task], None], words: str) -> None:
    task = good_task()
    spoil(task)
    with pytest.raises(
        LabelStudioError, match=r"the task of frame .* would not be shown as meant"
    ) as refused:
        check_task(task, SIZE, Review())
    assert words in str(refused.value)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(LabelStudioError, match="its image has 0x0 pixels"):
        check_task(make_task(item_of(size_hw=SIZE), Review(), "/x.jpg"), (0, 0), Review())


def test_everything_that_is_wrong_is_said_at_once() -> None:
    task = good_task()
    task["data"].update(why=None, image=None)
    with pytest.raises(LabelStudioError, match=r"image is None.*why is None.*no address"):
        check_task(task, SIZE, Review())
