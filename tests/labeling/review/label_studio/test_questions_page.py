"""Doubtful persons in a real browser: believed ones are dim and locked, and a choice answers without drawing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from configs.models import Review
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.brush_rle import decode_brush
from labeling.review.label_studio.project import label_config
from labeling.review.label_studio.tasks import make_task, region_id
from labeling.review.records import ReviewedFrame, ReviewItem
from labeling.structures.masks import Mask
from tests.labeling.review.label_studio.results import item_of, person
from tests.labeling.review.label_studio.test_page import PEOPLE, SIZE, STREET, STROKE, see_image, to_page
from tests.studio_browser import Annotator, annotate
from tests.studio_server import RunningStudio

pytestmark = [pytest.mark.labelstudio, pytest.mark.slow]

SETTINGS = Review()
OTHER = ndimage.binary_dilation(PEOPLE[2], iterations=4)
"""What the other model sees of the third person, who is the doubtful one."""


@dataclass(frozen=True)
class Desk:
    """An annotator with tasks of which one person of three is doubtful."""

    annotator: Annotator
    studio: RunningStudio
    project: int

    def add_task(self, frame_id: int) -> tuple[ReviewItem, dict[str, Any], int]:
        """Return the item, the task that was sent, and its id."""
        people = [replace(person(10 * frame_id + i, one), is_doubtful=i == 2) for i, one in enumerate(PEOPLE)]
        item = item_of(*people, frame_id=frame_id, image="ab/people.png", student=OTHER)
        sent = make_task(item, SETTINGS, f"/data/local-files/?d=images/{item.image}", STREET)
        [task] = self.studio.server.import_tasks(self.project, [sent])
        return item, sent, task

    def answer(self, task: int, choice: str) -> dict[str, Any]:
        """Open a task, choose an answer, and submit it; returns what the browser sent."""
        self.annotator.open(self.project, task)
        self.annotator.page.locator(".mm-question").get_by_text(choice, exact=True).click()
        return self.annotator.submit()

    def read(self, item: ReviewItem, task: int) -> ReviewedFrame:
        [found] = [one for one in self.studio.server.changed_tasks(self.project, None) if one["id"] == task]
        [frame] = read_annotations(
            found, settings=SETTINGS, proposed=item.teacher, size_hw=item.size_hw, users={}
        )
        return frame


@pytest.fixture(scope="module")
def desk(studio: RunningStudio) -> Iterator[Desk]:
    image = studio.home_root / "images" / "ab" / "people.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(STREET).save(image)
    project = studio.server.find_or_create_project("the questions", label_config(SETTINGS), "")
    studio.server.attach_images(project, studio.home_root / "images")
    with annotate(studio) as annotator:
        yield Desk(annotator, studio, project)


def masks_of(task: dict[str, Any]) -> dict[str, bytes]:
    """Return the masks of a task or of a submitted annotation, as counts of COCO's RLE, by region.

    The browser codes every mask anew, so that its own code may have other bytes for the same pixels.
    """
    results = task["predictions"][-1]["result"] if "predictions" in task else task["result"]
    brushes = [one for one in results if one["type"] == "brushlabels"]
    return {one["id"]: decode_brush(one["value"]["rle"], SIZE).counts for one in brushes}


def test_believed_persons_are_gray_and_stay_as_they_are(desk: Desk) -> None:
    item, sent, task = desk.add_task(1)
    annotator = desk.annotator
    annotator.open(desk.project, task)
    if folder := os.environ.get("MASKMILL_SCREENSHOTS"):
        annotator.page.screenshot(path=Path(folder) / "questions.png")
    seen = see_image(annotator)
    colored = np.ptp(seen, axis=2)
    inside = [ndimage.binary_erosion(one & (np.sum(PEOPLE, axis=0) == 1), iterations=4) for one in PEOPLE]
    assert [bool(colored[pixels].max() <= 2) for pixels in inside] == [True, True, False]
    assert colored[inside[2]].min() > 60
    annotator.page.locator(".lsf-outliner-item").filter(has_text="accepted").first.click()
    annotator.draw(to_page(annotator.find_image(), STROKE))
    annotator.page.keyboard.press("Delete")
    submitted = annotator.submit()
    painted, untouched = (region_id(one.id) for one in item.teacher[:2])
    assert masks_of(submitted)[painted] != masks_of(sent)[painted]  # Label Studio lets a brush paint it
    assert masks_of(submitted)[untouched] == masks_of(sent)[untouched]
    frame = desk.read(item, task)
    assert [(one.source_id, one.mask) for one in frame.instances] == [
        (one.id, one.mask) for one in item.teacher
    ]
    [problem] = frame.problems
    assert problem.startswith("the mask of person 1 was accepted before the review")


@pytest.mark.parametrize(
    ("frame_id", "choice", "mask"),
    [
        pytest.param(2, "right", Mask.from_array(PEOPLE[2]), marks=pytest.mark.long),
        (3, "this one is right", Mask.from_array(OTHER)),
        pytest.param(4, "wrong outline: leave out", Mask.empty(SIZE), marks=pytest.mark.long),
        pytest.param(5, "no person", None, marks=pytest.mark.long),
    ],
)
def test_an_answer_needs_no_drawing(desk: Desk, frame_id: int, choice: str, mask: Mask | None) -> None:
    item, sent, task = desk.add_task(frame_id)
    submitted = desk.answer(task, choice)
    frame = desk.read(item, task)
    assert [one.mask for one in frame.instances[2:]] == ([] if mask is None else [mask])
    assert [one.mask for one in frame.instances[:2]] == [one.mask for one in item.teacher[:2]]
    locked = [region_id(one.id) for one in item.teacher[:2]]
    assert [masks_of(submitted)[key] for key in locked] == [masks_of(sent)[key] for key in locked]
    assert frame.verdict == ("correct" if choice == "right" else "corrected")
    assert frame.problems == ()
