"""The page in a real browser: masks cover their people, and a stroke changes only its region."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from configs.models import Review
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.instructions import explain_to_annotators, instructions
from labeling.review.label_studio.project import PERSON_COLORS, label_config
from labeling.review.label_studio.tasks import make_task, region_id
from labeling.review.records import ReviewedFrame, ReviewItem
from labeling.structures.masks import BoolArray
from labeling.structures.reasons import Reason
from tests.labeling.review.label_studio.results import item_of, keypoints_at, person
from tests.studio_browser import Annotator, ImageBox, annotate
from tests.studio_server import RunningStudio

pytestmark = [pytest.mark.labelstudio, pytest.mark.slow]

SIZE = (360, 640)
SETTINGS = Review(show_keypoints=True)
REASONS = [Reason.of("low_score", value=0.48, minimum=0.7), Reason.of("miss", people=1, masks=0)]
COLORS = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in PERSON_COLORS[:3]])
"""Of the people; Label Studio draws masks with an opacity of 0.6."""
SIZES = [(1280, 720), (480, 360), (3840, 2160)]
TRIED = [SIZES[0], *(pytest.param(size, marks=pytest.mark.long) for size in SIZES[1:])]
BRUSH_PX = 15
"""Default width of Label Studio's brush, in pixels of the page."""
STROKE = [(330.0, 60.0), (400.0, 60.0), (430.0, 90.0)]
"""In pixels of the image, away from all people."""


def draw_person(x: int, *, height: int) -> BoolArray:
    """Draw head, trunk and two legs, standing on the ground, with a hole between arm and trunk."""
    drawn = np.zeros(SIZE, dtype=np.uint8)
    ground, unit = 340, height // 8
    cv2.ellipse(drawn, (x, ground - 7 * unit), (unit // 2, 2 * unit // 3), 0, 0, 360, 1, -1)
    cv2.ellipse(drawn, (x, ground - 5 * unit), (unit, 2 * unit), 0, 0, 360, 1, -1)
    for side in (-1, 1):
        cv2.line(drawn, (x, ground - 4 * unit), (x + side * unit, ground), 1, unit // 2)
    cv2.circle(drawn, (x + unit // 2, ground - 5 * unit), unit // 4, 0, -1)
    return drawn.astype(np.bool_)


PEOPLE = draw_person(180, height=240), draw_person(230, height=200), draw_person(540, height=160)
"""The first two overlap."""


def draw_street() -> NDArray[np.uint8]:
    """Draw a gray street, so that all color on the page belongs to masks."""
    rows = np.linspace(60, 200, SIZE[0])[:, None]
    texture = np.random.default_rng(3).normal(0, 12, SIZE)
    gray = np.clip(rows + ndimage.gaussian_filter(texture, 2) * 4, 20, 235)
    for shade, pixels in zip((40, 90, 220), PEOPLE, strict=True):
        gray[pixels] = shade
    return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)


STREET = draw_street()


@dataclass(frozen=True)
class Desk:
    """An annotator with the tasks of one project."""

    annotator: Annotator
    studio: RunningStudio
    project: int

    def add_task(self, frame_id: int, *, with_keypoints: bool = False) -> tuple[ReviewItem, int]:
        """Create a task of the street; returns the item and the task's id."""
        keypoints = (
            keypoints_at(nose=(180.0, 120.0, 0.8), left_knee=(190.5, 280.25, 0.7)) if with_keypoints else None
        )
        people = [person(10 * frame_id + i, one, keypoints=keypoints) for i, one in enumerate(PEOPLE)]
        item = item_of(*people, frame_id=frame_id, image="ab/street.png", student=PEOPLE[0])
        item = replace(item, why=explain_to_annotators(REASONS))
        url = f"/data/local-files/?d=images/{item.image}"
        [task] = self.studio.server.import_tasks(self.project, [make_task(item, SETTINGS, url)])
        return item, task

    def read(self, item: ReviewItem, task: int) -> ReviewedFrame:
        """Read the only annotation of a task."""
        [found] = [one for one in self.studio.server.changed_tasks(self.project, None) if one["id"] == task]
        [frame] = read_annotations(
            found, settings=SETTINGS, proposed=item.teacher, size_hw=item.size_hw, users={}
        )
        return frame


@pytest.fixture(scope="module")
def desk(studio: RunningStudio) -> Iterator[Desk]:
    image = studio.home_root / "images" / "ab" / "street.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(STREET).save(image)
    project = studio.server.find_or_create_project("the page", label_config(SETTINGS), "")
    studio.server.fill_instructions(project, instructions(SETTINGS))
    studio.server.attach_images(project, studio.home_root / "images")
    with annotate(studio) as annotator:
        yield Desk(annotator, studio, project)


def see_image(annotator: Annotator) -> NDArray[np.float64]:
    """Return the page's colors at the center of every pixel of the image, in the image's size."""
    screen, box = annotator.screenshot(), annotator.find_image()
    rows = (box.y + (np.arange(SIZE[0]) + 0.5) * box.height / SIZE[0]).astype(int)
    columns = (box.x + (np.arange(SIZE[1]) + 0.5) * box.width / SIZE[1]).astype(int)
    return np.asarray(screen[rows[:, None], columns], dtype=np.float64)


def to_page(box: ImageBox, points_xy: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(box.x + x * box.width / SIZE[1], box.y + y * box.height / SIZE[0]) for x, y in points_xy]


def save_screenshot(annotator: Annotator, name: str) -> None:
    """Save a screenshot to the folder MASKMILL_SCREENSHOTS, if it is set."""
    if folder := os.environ.get("MASKMILL_SCREENSHOTS"):
        annotator.page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize("size_wh", TRIED, ids=lambda size: f"{size[0]}x{size[1]}")
def test_each_person_is_tinted_in_a_color_of_their_own(desk: Desk, size_wh: tuple[int, int]) -> None:
    _, task = desk.add_task(SIZES.index(size_wh) + 1)
    desk.annotator.open(desk.project, task, size_wh=size_wh)
    save_screenshot(desk.annotator, f"page_{size_wh[0]}")
    seen, street = see_image(desk.annotator), STREET.astype(np.float64)
    covered = np.sum(PEOPLE, axis=0)
    background = ndimage.binary_erosion(covered == 0, iterations=4, border_value=1)
    assert np.ptp(seen[background], axis=1).max() <= 2  # gray everywhere
    assert np.abs(seen - street)[background].mean() < 3
    for drawn, color in zip(PEOPLE, COLORS, strict=True):
        inside = ndimage.binary_erosion(drawn & (covered == 1), iterations=4)
        assert inside.sum() > 90
        assert np.abs(seen - (0.6 * color + 0.4 * street))[inside].max() < 4


def test_an_untouched_task_is_submitted_unchanged(desk: Desk) -> None:
    item, task = desk.add_task(10, with_keypoints=True)
    desk.annotator.open(desk.project, task)
    sent = desk.annotator.submit()
    frame = desk.read(item, task)
    assert frame.verdict == "correct"
    assert [(one.source_id, one.mask) for one in frame.instances] == [
        (one.id, one.mask) for one in item.teacher
    ]
    assert [one.keypoints for one in frame.instances] == [one.keypoints for one in item.teacher]
    assert frame.seconds == sent["lead_time"]


def test_a_stroke_changes_only_its_region(desk: Desk) -> None:
    item, task = desk.add_task(11, with_keypoints=True)
    annotator = desk.annotator
    annotator.open(desk.project, task)
    box = annotator.find_image()
    annotator.select(2)
    annotator.draw(to_page(box, STROKE))
    save_screenshot(annotator, "stroke")
    annotator.submit()
    frame = desk.read(item, task)
    assert (frame.verdict, frame.problems) == ("corrected", ())
    assert [one.origin for one in frame.instances] == ["prediction", "prediction", "prediction-changed"]
    assert [one.source_id for one in frame.instances] == [one.id for one in item.teacher]
    assert [one.mask for one in frame.instances[:2]] == [one.mask for one in item.teacher[:2]]
    assert [one.keypoints for one in frame.instances] == [one.keypoints for one in item.teacher]
    before, after = PEOPLE[2], frame.instances[2].mask.to_array()
    assert (after & before == before).all()
    radius = BRUSH_PX / 2 * SIZE[1] / box.width
    distance = distance_to_stroke()
    assert after[distance < radius - 1.5].all()
    assert not (after & ~before)[distance > radius + 1.5].any()


def test_the_brush_paints_nothing_until_a_person_is_selected(desk: Desk) -> None:
    item, task = desk.add_task(12)
    annotator = desk.annotator
    annotator.open(desk.project, task)
    before = see_image(annotator)
    annotator.draw(to_page(annotator.find_image(), STROKE))
    away_from_cursor = distance_to_stroke() < 4
    away_from_cursor[:, 420:] = False
    assert (see_image(annotator) == before)[away_from_cursor].all()
    annotator.submit()
    assert desk.read(item, task).verdict == "correct"


@pytest.mark.long
def test_a_new_person_is_painted_after_a_press_of_the_button(desk: Desk) -> None:
    item, task = desk.add_task(13)
    annotator = desk.annotator
    annotator.open(desk.project, task)
    annotator.press_label("New person")
    annotator.draw(to_page(annotator.find_image(), STROKE))
    save_screenshot(annotator, "new_person")
    annotator.submit()
    frame = desk.read(item, task)
    assert (frame.verdict, frame.problems) == ("corrected", ())
    assert [one.origin for one in frame.instances] == ["prediction", "prediction", "prediction", "manual"]
    assert frame.instances[3].mask.to_array()[distance_to_stroke() < 2].all()


@pytest.mark.long
def test_what_is_painted_under_a_person_s_number_belongs_to_that_person(desk: Desk) -> None:
    """A stroke without a selected mask makes a second region with the selected label."""
    item, task = desk.add_task(14)
    annotator = desk.annotator
    annotator.open(desk.project, task)
    annotator.page.keyboard.press("Control+Alt+Shift+b")
    annotator.draw(to_page(annotator.find_image(), STROKE))
    annotator.submit()
    frame = desk.read(item, task)
    assert [one.source_id for one in frame.instances] == [one.id for one in item.teacher]
    assert [one.origin for one in frame.instances] == ["prediction", "prediction-changed", "prediction"]
    assert frame.instances[1].mask.to_array()[distance_to_stroke() < 2].all()


@pytest.mark.long
def test_the_keys_of_tools_select_tools_and_a_click_with_the_arrow_a_mask(desk: Desk) -> None:
    item, task = desk.add_task(15, with_keypoints=True)
    annotator = desk.annotator
    annotator.open(desk.project, task)
    [head, *_] = to_page(annotator.find_image(), [(540.0, 240.0)])
    annotator.page.keyboard.press("v")
    annotator.page.mouse.click(*head)
    annotator.page.keyboard.press("e")
    annotator.page.keyboard.press("b")
    annotator.draw(to_page(annotator.find_image(), STROKE))
    sent = annotator.submit()
    labels = {one["id"]: one["value"].get("brushlabels") for one in sent["result"]}
    assert labels[region_id(item.teacher[2].id)] == ["person 3"]
    origins = [one.origin for one in desk.read(item, task).instances]
    assert origins == ["prediction", "prediction", "prediction-changed"]


@pytest.mark.long
def test_the_instructions_are_shown_where_labeling_begins(desk: Desk) -> None:
    desk.add_task(16)
    desk.annotator.page.goto(f"{desk.annotator.url}/projects/{desk.project}/data?labeling=1")
    shown = desk.annotator.page.get_by_text("A person has no mask:")
    shown.wait_for()
    assert shown.is_visible()
    save_screenshot(desk.annotator, "instructions")


def distance_to_stroke() -> NDArray[np.float64]:
    """Return the distance of every pixel of the image from the line of the stroke."""
    line = np.ones(SIZE, dtype=np.uint8)
    cv2.polylines(line, [np.array(STROKE, dtype=np.int32)], isClosed=False, color=0)
    return np.asarray(ndimage.distance_transform_edt(line))
