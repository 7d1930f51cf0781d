"""A corrected frame in a real Label Studio: masks carried to the others are shown, and tasks that need no review go."""

import pytest

from db.models.review import ReviewRow
from labeling.comparison.iou import union_iou
from labeling.review.label_studio.brush_rle import decode_brush, encode_brush
from tasks.execution.context import database_of
from tests.fakes.walking_person import SIZE_HW, plant_walk, sampled_mask
from tests.flows.test_review import Desk, desk
from tests.planted_reviews import box_mask

__all__ = ["desk"]

pytestmark = [pytest.mark.labelstudio, pytest.mark.usefixtures("prefect")]


def test_one_correction_updates_its_neighbors_and_begun_tasks_are_kept(desk: Desk) -> None:
    half = box_mask(40, 25, 30, 25)
    masks = [box_mask(5, 25, 30, 70), sampled_mask(1), half, sampled_mask(3)]
    differs, agrees, corrected, begun = plant_walk(desk.home, [[mask] for mask in masks]).frames
    desk.push()
    [region] = desk.regions(corrected)
    region["value"]["rle"] = list(encode_brush(sampled_mask(2)))
    number = desk.submit(corrected, [region])
    draft = {"result": desk.regions(begun), "lead_time": 3.0}
    drafts = f"/api/tasks/{desk.task(begun)['id']}/drafts"
    desk.http.post(drafts, params={"project": desk.number}, json=draft).raise_for_status()
    pulled = desk.pull()
    assert (pulled.propagation.carried, pulled.propagation.confirmed) == (3, 2)
    pushed = desk.push()
    assert (pushed.confirmed, pushed.replaced, pushed.sent) == (1, 1, 1)
    assert desk.states() == {corrected: "reviewed", agrees: "confirmed", differs: "open", begun: "open"}
    assert {int(task["data"]["frame_id"]) for task in desk.tasks()} == {corrected, differs, begun}
    [shown] = desk.regions(differs)
    assert union_iou(decode_brush(bytes(shown["value"]["rle"]), SIZE_HW), sampled_mask(0)) > 0.8
    desk.submit(differs, [shown])
    desk.http.delete(f"/api/annotations/{number}/").raise_for_status()
    desk.pull()
    with database_of(desk.home).session() as session:
        assert session.get_one(ReviewRow, differs).propagation_id is not None
    assert desk.states()[differs] == "reviewed"
    assert desk.states()[corrected] == "open"
