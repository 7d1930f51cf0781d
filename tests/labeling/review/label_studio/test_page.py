"""The page as annotators see it, in a real browser: masks lie on their people, and a stroke is a stroke."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from configs.models import Review
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.project import label_config
from labeling.review.label_studio.tasks import make_task
from labeling.review.records import ReviewedFrame, ReviewItem
from labeling.structures.masks import BoolArray
from tests.labeling.review.label_studio.results import item_of, keypoints_at, person
from tests.studio_browser import Annotator, ImageBox, annotate
from tests.studio_server import RunningStudio

pytestmark = [pytest.mark.labelstudio, pytest.mark.slow]

SIZE = (360, 640)
GREEN = np.array([0, 200, 83])
"""Color of people on the page, which covers 0.6 of the image: Label Studio's own share."""
SIZES = [(1280, 720), (480, 360), (3840, 2160)]
BRUSH_PX = 15
"""Width of Label Studio's brush at first, in pixels of the page."""
STROKE = [(330.0, 60.0), (400.0, 60.0), (430.0, 90.0)]
"""In pixels of the image, away from everybody."""


def draw_person(x: int, *, height: int) -> BoolArray:
    """Head, trunk and two legs, standing on one ground; with a hole between arm and trunk."""
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
    """A gray street: whatever is green on the page is a mask."""
    rows = np.linspace(60, 200, SIZE[0])[:, None]
    texture = np.random.default_rng(3).normal(0, 12, SIZE)
    gray = np.clip(rows + ndimage.gaussian_filter(texture, 2) * 4, 20, 235)
    for shade, pixels in zip((40, 90, 220), PEOPLE, strict=True):
        gray[pixels] = shade
    return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)


STREET = draw_street()


@dataclass(frozen=True)
class Desk:
    """An annotator, and the tasks of one project to be opened."""

    annotator: Annotator
    studio: RunningStudio
    project: int

    def bring(self, frame_id: int, *, with_joints: bool = False) -> tuple[ReviewItem, int]:
        """A new task of the street; the item and the task's id."""
        joints = (
            keypoints_at(nose=(180.0, 120.0, 0.8), left_knee=(190.5, 280.25, 0.7)) if with_joints else None
        )
        people = [person(10 * frame_id + i, one, keypoints=joints) for i, one in enumerate(PEOPLE)]
        item = item_of(*people, frame_id=frame_id, image="ab/street.png", student=PEOPLE[0])
        url = f"/data/local-files/?d=images/{item.image}"
        [task] = self.studio.server.import_tasks(self.project, [make_task(item, Review(), url)])
        return item, task

    def read(self, item: ReviewItem, task: int) -> ReviewedFrame:
        """The one annotation of a task."""
        [found] = [one for one in self.studio.server.changed_tasks(self.project, None) if one["id"] == task]
        [frame] = read_annotations(
            found, settings=Review(), proposed=item.teacher, size_hw=item.size_hw, users={}
        )
        return frame


@pytest.fixture(scope="module")
def desk(studio: RunningStudio) -> Iterator[Desk]:
    image = studio.home_root / "images" / "ab" / "street.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(STREET).save(image)
    project = studio.server.find_or_create_project("the page", label_config(Review()), "")
    studio.server.attach_images(project, studio.home_root / "images")
    with annotate(studio) as annotator:
        yield Desk(annotator, studio, project)


def see_image(annotator: Annotator) -> NDArray[np.float64]:
    """The page's colors at the middle of every pixel of the image, as its own size."""
    screen, box = annotator.look(), annotator.find_image()
    rows = (box.y + (np.arange(SIZE[0]) + 0.5) * box.height / SIZE[0]).astype(int)
    columns = (box.x + (np.arange(SIZE[1]) + 0.5) * box.width / SIZE[1]).astype(int)
    return np.asarray(screen[rows[:, None], columns], dtype=np.float64)


def to_page(box: ImageBox, points_xy: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(box.x + x * box.width / SIZE[1], box.y + y * box.height / SIZE[0]) for x, y in points_xy]


def keep(annotator: Annotator, name: str) -> None:
    """Leave a screenshot in the folder that MASKMILL_SCREENSHOTS names, for people to look at."""
    if folder := os.environ.get("MASKMILL_SCREENSHOTS"):
        annotator.page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize("size_wh", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_people_are_tinted_and_nothing_else_is(desk: Desk, size_wh: tuple[int, int]) -> None:
    _, task = desk.bring(SIZES.index(size_wh) + 1)
    desk.annotator.open(desk.project, task, size_wh=size_wh)
    keep(desk.annotator, f"page_{size_wh[0]}")
    seen, street = see_image(desk.annotator), STREET.astype(np.float64)
    covered = np.sum(PEOPLE, axis=0)
    nobody = ndimage.binary_erosion(covered == 0, iterations=4, border_value=1)
    assert np.ptp(seen[nobody], axis=1).max() <= 2  # not a trace of any color
    assert np.abs(seen - street)[nobody].mean() < 3
    for people, share in ((1, 0.6), (2, 0.84)):
        inside = ndimage.binary_erosion(covered == people, iterations=4)
        assert inside.sum() > 90
        assert np.abs(seen - (share * GREEN + (1 - share) * street))[inside].max() < 4


def test_what_nobody_touched_is_sent_back_as_it_came(desk: Desk) -> None:
    item, task = desk.bring(10, with_joints=True)
    desk.annotator.open(desk.project, task)
    sent = desk.annotator.submit()
    frame = desk.read(item, task)
    assert frame.verdict == "correct"
    assert [(one.source_id, one.mask) for one in frame.instances] == [
        (one.id, one.mask) for one in item.teacher
    ]
    assert [one.keypoints for one in frame.instances] == [one.keypoints for one in item.teacher]
    assert frame.seconds == sent["lead_time"]


def test_a_stroke_is_added_to_its_region_and_nothing_else_changes(desk: Desk) -> None:
    item, task = desk.bring(11, with_joints=True)
    annotator = desk.annotator
    annotator.open(desk.project, task)
    box = annotator.find_image()
    annotator.select(2)
    annotator.draw(to_page(box, STROKE))
    keep(annotator, "stroke")
    annotator.submit()
    frame = desk.read(item, task)
    assert (frame.verdict, frame.problems) == ("fixed", ())
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


def distance_to_stroke() -> NDArray[np.float64]:
    """Of every pixel of the image from the line that the brush followed, in its pixels."""
    line = np.ones(SIZE, dtype=np.uint8)
    cv2.polylines(line, [np.array(STROKE, dtype=np.int32)], isClosed=False, color=0)
    return np.asarray(ndimage.distance_transform_edt(line))
