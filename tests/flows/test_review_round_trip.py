"""Database -> Label Studio -> submitted unchanged -> database -> COCO: no pixel may differ."""

from pathlib import Path

import pytest
from pycocotools.coco import COCO
from sqlalchemy import select

from db.frames.instances import to_instance
from db.models.core import FrameRow, InstanceRow
from labeling.datasets.formats.coco import write_coco
from labeling.structures.masks import Mask
from tasks.execution.context import database_of
from tests.flows.test_review import Desk, desk, teachers_regions
from tests.labeling.review.label_studio.test_round_trip import all_images
from tests.planted_reviews import PlantedFrame, plant_run

__all__ = ["desk"]

pytestmark = [pytest.mark.labelstudio, pytest.mark.slow, pytest.mark.usefixtures("prefect")]


@pytest.mark.long
def test_300_unchanged_masks_are_the_same_instances_in_the_coco_file(desk: Desk, tmp_path: Path) -> None:
    frames = []
    for people in all_images():
        masks = [Mask.from_array(one) for one in people]
        frames.append(PlantedFrame([mask for mask in masks if mask], size_hw=masks[0].size_hw))
    run = plant_run(desk.home, frames)
    desk.push()
    for task in desk.tasks():
        desk.answer(task["id"], teachers_regions(task))
    assert desk.pull().changed == len(run.frames)
    write_coco(iter(desk.dataset("reviewed").values()), tmp_path / "coco")
    written = COCO(tmp_path / "coco" / "annotations" / "instances.json").anns
    stored = stored_masks(desk)
    assert len(stored) >= 300
    assert written.keys() == stored.keys()
    for number, mask in stored.items():
        assert Mask.from_coco(written[number]["segmentation"]) == mask
        assert written[number]["reviewer"] == desk.studio.access.email


def stored_masks(desk: Desk) -> dict[int, Mask]:
    """Return the teacher's masks by instance id."""
    query = (
        select(InstanceRow, FrameRow)
        .join(FrameRow, FrameRow.id == InstanceRow.frame_id)
        .where(InstanceRow.role == "teacher")
    )
    with database_of(desk.home).session() as session:
        return {row.id: to_instance(row, frame).mask for row, frame in session.execute(query).tuples()}
