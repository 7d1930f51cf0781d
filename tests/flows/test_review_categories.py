"""Runs with other categories than people: pushed to a real Label Studio, reviewed, pulled and exported."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from sqlalchemy import select, update

from configs.errors import ConfigError
from db.models.core import InstanceRow
from db.models.review import ModelScoreRow, ReviewedInstanceRow
from db.review.summary import summarize_reviews
from db.runs.queries import latest_run
from flows.generate import generate_dataset
from labeling.review.label_studio.brush_rle import decode_brush, encode_brush
from labeling.structures.masks import Mask
from tasks.execution.context import database_of, open_context
from tasks.export import ExportOrder, write_dataset
from tasks.review.summary import review_rows
from tests.flows.test_categories import CAT, HW, PERSON, configured, paint
from tests.flows.test_review import Desk, desk
from tests.planted_reviews import PlantedFrame, PlantedRun, box_mask, person_frames, plant_run

__all__ = ["desk"]

pytestmark = [pytest.mark.labelstudio, pytest.mark.usefixtures("prefect")]

BOTH = ("person", "bicycle")
RIDER, BIKE, FREE = box_mask(20, 10, 30, 60), box_mask(10, 60, 60, 50), box_mask(100, 30, 40, 60)


def plant_riders(desk: Desk, count: int, *, hard_below: float = 0.5) -> PlantedRun:
    """Frames with a person on a bicycle, whom the student does not see."""
    frames = [PlantedFrame([RIDER, BIKE], categories=BOTH)] * count
    return plant_run(desk.home, frames, categories=BOTH, hard_below=hard_below)


def labeled(region: dict[str, Any], label: str, mask: Mask | None = None) -> dict[str, Any]:
    """Return a region with another label, or one drawn by hand."""
    value = {**region["value"], "brushlabels": [label]}
    if mask is None:
        return {**region, "value": value}
    value["rle"] = list(encode_brush(mask))
    return {**region, "id": "AbCdEfGhIj", "origin": "manual", "value": value}


def page_labels(desk: Desk) -> set[str]:
    config = desk.http.get(f"/api/projects/{desk.number}/").json()["label_config"]
    return {str(one.get("value")) for one in Xml.fromstring(config).iter("Label")}  # noqa: S314  # our own


def found(desk: Desk, frame: int) -> list[tuple[str, Mask, str | None]]:
    return [(one.category, one.mask, one.origin) for one in desk.dataset("reviewed")[frame].instances]


def test_two_categories_are_pushed_changed_added_pulled_and_exported(desk: Desk, tmp_path: Path) -> None:
    same, changed, added, strange = plant_riders(desk, 4).frames
    assert desk.push().sent == 4
    assert {"person", "bicycle", "person 1", "bicycle 2"} < page_labels(desk)
    rider, bike = desk.regions(same)
    assert [one["value"]["brushlabels"] for one in (rider, bike)] == [["person 1"], ["bicycle 2"]]
    desk.submit(same, [rider, bike])
    rider, bike = desk.regions(changed)
    desk.submit(changed, [labeled(rider, "bicycle"), bike])
    rider, bike = desk.regions(added)
    desk.submit(added, [rider, bike, labeled(bike, "bicycle", FREE)])
    rider, bike = desk.regions(strange)
    desk.submit(strange, [rider, labeled(bike, "dog")])
    pulled = desk.pull()
    assert pulled.changed == 4
    [problem] = pulled.problems
    assert problem.startswith(f"frame {strange}, ")
    assert problem.endswith("its label is dog, not person or bicycle")
    assert desk.states() == {same: "reviewed", changed: "reviewed", added: "reviewed", strange: "unresolved"}
    assert found(desk, same) == [("person", RIDER, "prediction"), ("bicycle", BIKE, "prediction")]
    assert found(desk, changed) == [("bicycle", RIDER, "prediction-changed"), ("bicycle", BIKE, "prediction")]
    assert found(desk, added)[2] == ("bicycle", FREE, "manual")
    check_coco(desk, tmp_path / "coco", {same: [1, 2], changed: [2, 2], added: [1, 2, 2]})
    with database_of(desk.home).session() as session:
        rows = session.scalars(select(ModelScoreRow).where(ModelScoreRow.role == "teacher"))
        scores = {row.frame_id: round(row.iou, 3) for row in rows}
    assert scores == {same: 1.0, changed: 0.0, added: pytest.approx(3000 / 5400, abs=1e-3)}


def check_coco(desk: Desk, folder: Path, expected: dict[int, Sequence[int]]) -> None:
    write_dataset(open_context(desk.home), str(folder), ExportOrder(decisions=("reviewed",)))
    coco = COCO(str(folder / "annotations" / "instances.json"))
    assert [(one["id"], one["name"]) for one in coco.dataset["categories"]] == [(1, "person"), (2, "bicycle")]
    found: dict[int, list[int]] = {}
    for one in coco.dataset["annotations"]:
        found.setdefault(one["image_id"], []).append(one["category_id"])
    assert {key: sorted(ids) for key, ids in found.items()} == expected


def test_a_run_of_one_other_class_is_about_that_class_alone(desk: Desk) -> None:
    [frame] = plant_run(desk.home, [PlantedFrame([BIKE], categories=["car"])], categories=["car"]).frames
    desk.push(show_keypoints=True)
    assert "person" not in json.dumps(desk.http.get(f"/api/projects/{desk.number}/").json()["label_config"])
    assert "New car" in desk.http.get(f"/api/projects/{desk.number}/").json()["expert_instruction"]
    [car] = desk.regions(frame)
    desk.submit(frame, [car, labeled(car, "car", FREE)])
    assert desk.pull().problems == ()
    assert [(category, mask) for category, mask, _ in found(desk, frame)] == [("car", BIKE), ("car", FREE)]


def test_a_project_of_people_gets_the_labels_of_a_later_run_and_keeps_its_own(desk: Desk) -> None:
    first = plant_run(desk.home, person_frames(1))
    desk.push()
    desk.submit(first.frames[0], desk.regions(first.frames[0]))
    desk.pull()
    assert "bicycle" not in page_labels(desk)
    second = plant_riders(desk, 2, hard_below=0.6)
    assert desk.push(second).sent == 2  # no annotator was asked about bicycles in the first frame
    assert {"person 24", "bicycle", "accepted bicycle"} < page_labels(desk)
    assert "New bicycle" in desk.http.get(f"/api/projects/{desk.number}/").json()["expert_instruction"]
    last = second.frames[1]
    rider, bike = desk.regions(last)
    desk.submit(last, [labeled(rider, "bicycle"), bike])
    desk.pull()
    # a run of people alone: Label Studio keeps the labels of the others' annotations
    third = plant_run(desk.home, person_frames(4), hard_below=0.7)
    assert desk.push(third).sent == 3  # the first frame with these masks, and two new ones
    assert "bicycle 24" in page_labels(desk)
    frame = third.frames[3]
    one, two = desk.regions(frame)
    desk.submit(frame, [one, labeled(two, "bicycle")])
    [problem] = desk.pull().problems
    assert problem.endswith("its label is bicycle, not person")


def test_categories_that_labels_cannot_tell_apart_are_refused_before_anything_is_sent(desk: Desk) -> None:
    names = ("person", "person 2")
    plant_run(desk.home, [PlantedFrame([RIDER, BIKE], categories=names)], categories=names)
    with pytest.raises(ConfigError, match="'person 2' would mean two things"):
        desk.push()
    assert desk.states() == {}


def test_a_changed_category_is_stored_with_its_annotation(desk: Desk) -> None:
    [frame] = plant_riders(desk, 1).frames
    desk.push()
    rider, bike = desk.regions(frame)
    desk.submit(frame, [rider, labeled(bike, "person")])
    desk.pull()
    with database_of(desk.home).session() as session:
        rows = session.scalars(select(ReviewedInstanceRow).order_by(ReviewedInstanceRow.rank)).all()
        summary = summarize_reviews(session, latest_run(session))
    assert (summary.masks.corrected, summary.masks.other_category, summary.masks.removed) == (1, 1, 0)
    assert ("given another category", "1") in list(review_rows(summary))
    assert [(row.category, row.origin, row.iou) for row in rows] == [
        ("person", "prediction", 1.0),
        ("person", "prediction-changed", 1.0),
    ]


def test_a_cat_that_the_teacher_s_network_missed_is_added_and_exported(desk: Desk, tmp_path: Path) -> None:
    """A run of the real pipeline, whose rules about people leave cats alone."""
    (tmp_path / "images").mkdir()
    for number in range(2):
        Image.fromarray(paint(number, with_cat=number == 1)).save(tmp_path / "images" / f"p{number}.png")
    config = configured(tmp_path, teacher_of_cats=2, student_of_cats=1)
    generate_dataset([str(tmp_path / "images")], config, name="cats", home=desk.home.root)
    assert desk.push().sent == 1
    [task] = desk.tasks()
    frame = int(task["data"]["frame_id"])
    assert task["data"]["why"] == "Please check: people or objects may be missing"
    [seen] = task["predictions"][0]["result"]
    both = decode_brush(seen["value"]["rle"], HW).to_array()
    assert both[PERSON].all()
    assert both[CAT].all()
    [person] = desk.regions(frame)
    cat = np.zeros(HW, np.bool_)
    cat[CAT] = True
    desk.submit(frame, [person, labeled(person, "cat", Mask.from_array(cat))])
    assert desk.pull().problems == ()
    write_dataset(open_context(desk.home), str(tmp_path / "coco"), ExportOrder(decisions=("reviewed",)))
    coco = COCO(str(tmp_path / "coco" / "annotations" / "instances.json"))
    found = {coco.cats[one["category_id"]]["name"]: coco.annToMask(one) for one in coco.anns.values()}
    assert found.keys() == {"person", "cat"}
    assert (found["cat"].astype(bool) == cat).all()


def test_where_persons_are_decided_an_object_is_asked_about_and_an_accepted_person_is_locked(
    desk: Desk,
) -> None:
    [frame] = plant_riders(desk, 1).frames
    with database_of(desk.home).transaction() as session:
        of_teacher = update(InstanceRow).where(InstanceRow.role == "teacher")
        session.execute(of_teacher.values(decision="accepted"))
        session.execute(of_teacher.where(InstanceRow.category == "bicycle").values(decision="review"))
    desk.push()
    rider, bike = desk.regions(frame)
    assert [one["value"]["brushlabels"] for one in (rider, bike)] == [["accepted person"], ["bicycle 2"]]
    [question] = desk.task(frame)["data"]["questions"]
    assert question["title"] == "bicycle 2"
    answer = {"id": "q", "type": "choices", "from_name": "answer-0", "to_name": "image"}
    answer["value"] = {"choices": ["no person"]}  # type: ignore[assignment]  # of JSON
    desk.submit(frame, [labeled(rider, "bicycle"), bike, answer])
    [problem] = desk.pull().problems
    assert "the mask of person 1 was accepted before the review" in problem
