"""A person corrects a frame in the browser, and the correction is in the COCO file."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from configs.models import Review as Settings
from db.models.core import InstanceRow
from labeling.datasets.formats.coco import write_coco
from labeling.review.label_studio.credentials import TOKEN_VARIABLE, URL_VARIABLE
from labeling.storage.home import Home
from labeling.structures.masks import Mask
from tasks.execution.context import close_databases, database_of, open_context
from tasks.export import ExportOrder, write_dataset
from tests.flows.test_review import Desk
from tests.labeling.review.label_studio.test_page import save_screenshot
from tests.planted_reviews import PlantedFrame, box_mask, plant_run
from tests.studio_browser import annotate
from tests.studio_server import RunningStudio

pytestmark = [pytest.mark.labelstudio, pytest.mark.slow, pytest.mark.usefixtures("prefect")]

SIZE = (360, 480)
TALL, SMALL = box_mask(60, 60, 60, 240, SIZE), box_mask(300, 150, 40, 150, SIZE)


@pytest.fixture
def own_desk(studio: RunningStudio, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """The home that the Label Studio belongs to: images are read from its disk."""
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    desk = Desk(Home(studio.home_root), studio, Settings(project="corrected by hand"))
    yield desk
    desk.http.close()
    close_databases()


def test_a_brush_stroke_in_the_browser_is_the_only_change_in_the_coco_file(
    own_desk: Desk, tmp_path: Path
) -> None:
    run = plant_run(own_desk.home, [PlantedFrame([TALL, SMALL], [box_mask(0, 0, 9, 9, SIZE)], size_hw=SIZE)])
    own_desk.push()
    number = own_desk.number
    with annotate(own_desk.studio) as annotator:
        annotator.open(number, own_desk.task(run.frames[0])["id"])
        box = annotator.find_image()
        annotator.select(1)
        scale = box.width / SIZE[1]
        annotator.draw([(box.x + x * scale, box.y + y * scale) for x, y in ((320.0, 110.0), (320.0, 160.0))])
        annotator.submit()
    assert own_desk.pull().changed == 1
    write_coco(iter(own_desk.dataset("reviewed").values()), tmp_path / "coco")
    written = json.loads((tmp_path / "coco" / "annotations" / "instances.json").read_text())
    untouched, corrected = (Mask.from_coco(one["segmentation"]) for one in written["annotations"])
    assert {one["reviewer"] for one in written["annotations"]} == {own_desk.studio.access.email}
    assert untouched == TALL
    before, after = SMALL.to_array(), corrected.to_array()
    assert (after & before == before).all()
    drawn = np.argwhere(after & ~before)
    assert len(drawn) > 200
    assert drawn.min(axis=0).tolist() > [90, 300]
    assert drawn.max(axis=0).tolist() < [175, 340]


def test_an_answer_in_the_browser_leaves_accepted_persons_byte_by_byte_as_they_were(own_desk: Desk) -> None:
    """The other model's outline is chosen for the doubtful person."""
    other = box_mask(298, 146, 46, 160, SIZE)
    frames = [
        PlantedFrame([TALL], size_hw=SIZE, decision="easy"),
        PlantedFrame([TALL, SMALL], [other], size_hw=SIZE),
    ]
    run = plant_run(own_desk.home, frames, hard_below=0.7)
    database = database_of(own_desk.home)
    with database.transaction() as session:
        of_teacher = update(InstanceRow).where(InstanceRow.run_id == run.id, InstanceRow.role == "teacher")
        session.execute(of_teacher.values(decision="accepted"))
        session.execute(of_teacher.where(InstanceRow.rank == 1).values(decision="review"))
    own_desk.push(run)
    with annotate(own_desk.studio) as annotator:
        annotator.open(own_desk.number, own_desk.task(run.frames[1])["id"])
        annotator.page.locator(".mm-question").get_by_text("this one is right", exact=True).click()
        annotator.submit()
    assert own_desk.pull().changed == 1
    people = own_desk.dataset("reviewed")[run.frames[1]].instances
    assert [one.mask.counts for one in people] == [TALL.counts, other.counts]
    assert [one.origin for one in people] == ["prediction", "prediction-changed"]


def test_a_category_given_in_the_browser_is_in_the_coco_file(own_desk: Desk, tmp_path: Path) -> None:
    """The tall person is a bicycle, says the annotator, and another bicycle is painted. The project has an answer."""
    both = ("person", "bicycle")
    easy = PlantedFrame([TALL], size_hw=SIZE, decision="easy")
    frame = PlantedFrame([TALL, SMALL], size_hw=SIZE, categories=both)
    run = plant_run(own_desk.home, [easy, easy, frame], hard_below=0.8, categories=both)
    own_desk.push(run)
    with annotate(own_desk.studio) as annotator:
        annotator.open(own_desk.number, own_desk.task(run.frames[2])["id"])
        annotator.select(0)
        annotator.press_label("New bicycle")
        annotator.page.keyboard.press("Escape")
        annotator.page.keyboard.press("4")  # the key of the same button
        box = annotator.find_image()
        scale = box.width / SIZE[1]
        annotator.draw([(box.x + x * scale, box.y + y * scale) for x, y in ((200.0, 110.0), (240.0, 160.0))])
        save_screenshot(annotator, "two_categories")
        annotator.submit()
    assert own_desk.pull().problems == ()
    write_dataset(
        open_context(own_desk.home), str(tmp_path / "coco"), ExportOrder(run=run.id, decisions=("reviewed",))
    )
    written = json.loads((tmp_path / "coco" / "annotations" / "instances.json").read_text())
    names = {one["id"]: one["name"] for one in written["categories"]}
    found = [
        (names[one["category_id"]], Mask.from_coco(one["segmentation"])) for one in written["annotations"]
    ]
    assert [name for name, _ in found] == ["bicycle", "bicycle", "bicycle"]
    assert [mask for _, mask in found[:2]] == [TALL, SMALL]
    assert 100 < found[2][1].area_px < 3000


def test_label_studio_shows_images_of_the_home_without_a_copy(own_desk: Desk) -> None:
    run = plant_run(own_desk.home, [PlantedFrame([TALL], size_hw=SIZE)], hard_below=0.9)
    own_desk.push(run)
    address = own_desk.task(run.frames[0])["data"]["image"]
    assert address.startswith("/data/local-files/")
    kept = own_desk.home.root / address.partition("?d=")[2]
    assert own_desk.http.get(address).content == kept.read_bytes()
