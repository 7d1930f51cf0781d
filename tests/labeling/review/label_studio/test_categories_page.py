"""The page of two categories in a real browser: a mask gets another category, and a new one is painted."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from configs.models import Review
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.instructions import instructions
from labeling.review.label_studio.project import label_config
from labeling.review.label_studio.tasks import make_task
from labeling.review.records import ReviewedFrame, ReviewItem
from labeling.structures.masks import Mask
from tests.labeling.review.label_studio.results import item_of, person
from tests.labeling.review.label_studio.test_page import (
    PEOPLE,
    SIZE,
    STREET,
    STROKE,
    Desk,
    distance_to_stroke,
    save_screenshot,
    to_page,
)
from tests.studio_browser import annotate
from tests.studio_server import RunningStudio

pytestmark = [pytest.mark.labelstudio, pytest.mark.slow]

BOTH = ("person", "bicycle")
SETTINGS = Review()


@pytest.fixture(scope="module")
def desk(studio: RunningStudio) -> Iterator[Desk]:
    image = studio.home_root / "images" / "ab" / "bicycles.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(STREET).save(image)
    project = studio.server.find_or_create_project("two categories", label_config(SETTINGS, BOTH), "")
    studio.server.fill_instructions(project, instructions(SETTINGS, BOTH))
    studio.server.attach_images(project, studio.home_root / "images")
    with annotate(studio) as annotator:
        yield Desk(annotator, studio, project)


def add_task(desk: Desk, frame_id: int) -> tuple[ReviewItem, int]:
    """Create a task of two people, the second of whom is marked as a bicycle, and a bicycle."""
    categories = ("person", "bicycle", "bicycle")
    shown = [
        person(10 * frame_id + i, one, category=category)
        for i, (one, category) in enumerate(zip(PEOPLE, categories, strict=True))
    ]
    item = item_of(*shown, frame_id=frame_id, image="ab/bicycles.png", student=PEOPLE[0])
    [task] = desk.studio.server.import_tasks(
        desk.project, [make_task(item, SETTINGS, f"/data/local-files/?d=images/{item.image}")]
    )
    return item, task


def read(desk: Desk, item: ReviewItem, task: int) -> ReviewedFrame:
    [found] = [one for one in desk.studio.server.changed_tasks(desk.project, None) if one["id"] == task]
    [frame] = read_annotations(
        found, settings=SETTINGS, proposed=item.teacher, size_hw=SIZE, users={}, categories=BOTH
    )
    return frame


def test_the_button_of_a_category_changes_the_selected_mask_or_begins_a_new_one(desk: Desk) -> None:
    item, task = add_task(desk, 1)
    annotator = desk.annotator
    annotator.open(desk.project, task)
    save_screenshot(annotator, "categories_before")
    annotator.select(0, text="bicycle")
    annotator.press_label("New person")
    annotator.page.keyboard.press("Escape")
    annotator.press_label("New bicycle")
    annotator.draw(to_page(annotator.find_image(), STROKE))
    save_screenshot(annotator, "categories_after")
    annotator.submit()
    frame = read(desk, item, task)
    assert (frame.verdict, frame.problems) == ("corrected", ())
    assert [(one.source_id, one.category, one.origin) for one in frame.instances] == [
        (10, "person", "prediction"),
        (11, "person", "prediction-changed"),
        (12, "bicycle", "prediction"),
        (None, "bicycle", "manual"),
    ]
    assert [one.mask for one in frame.instances[:3]] == [Mask.from_array(one) for one in PEOPLE]
    painted = frame.instances[3].mask.to_array()
    assert painted[distance_to_stroke() < 2].all()
    assert not np.any(painted & PEOPLE[0])


@pytest.mark.long
def test_an_untouched_task_of_two_categories_is_submitted_unchanged(desk: Desk) -> None:
    item, task = add_task(desk, 2)
    desk.annotator.open(desk.project, task)
    desk.annotator.submit()
    frame = read(desk, item, task)
    assert (frame.verdict, frame.problems) == ("correct", ())
    assert [one.category for one in frame.instances] == [one.category for one in item.teacher]
