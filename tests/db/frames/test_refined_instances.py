"""Refined masks in the database and in a COCO dataset made from it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.models import Agreement
from db.connection.database import open_database
from db.frames.dataset import dataset_frames
from db.frames.instances import frame_instances
from db.models.core import FrameRow, InstanceRow, ShardRow
from db.runs.writes import ShardRange, plan_shards, record_models, record_video, store_shard, upsert_run
from labeling.comparison.agreement import compare_instances
from labeling.datasets.formats.coco import write_coco
from labeling.storage.home import Home
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.structures.records import LabeledFrame, LabeledShard

CARDS = {role: ModelCard("test", role, "", "{}") for role in ("teacher", "student")}
MASK = Mask.from_array(np.pad(np.ones((10, 6), dtype=bool), ((4, 6), (3, 11))))
PLAIN = Instance(MASK, 0.75, MASK.box_xywh)
REFINED = replace(
    PLAIN, refined_by="matting:own.onnx@1f0c22ab, guided_filter:color", iou_before=0.8125, track_id=3
)


@pytest.fixture
def session(database_url: str, tmp_path: Path) -> Iterator[Session]:
    database = open_database(database_url)
    agreement = compare_instances([PLAIN, REFINED], [], MASK.size_hw, Agreement(), student_is_semantic=False)
    image = tmp_path / "home" / "images" / "aa" / "aa.jpg"
    image.parent.mkdir(parents=True)
    Image.new("RGB", MASK.size_hw[::-1]).save(image)
    row = LabeledFrame(
        0, 0, 1.0, "", "accepted", size_hw=MASK.size_hw, image="images/aa/aa.jpg", agreement=agreement,
        priority=0.5, teacher=(PLAIN, REFINED),
    )  # fmt: skip
    with database.transaction() as opened:
        upsert_run(opened, "run", name="test", config={}, code_version="test")
        record_models(opened, "run", CARDS)
        record_video(opened, {"id": "a" * 64, "kind": "video", "path": "a.mp4"})
        plan_shards(opened, "run", "a" * 64, [ShardRange(0, None)])
        shard = opened.query(ShardRow).one()
        assert store_shard(opened, shard, LabeledShard([row], CARDS, {"accepted": 1}, {}))
    with database.session() as opened:
        yield opened
    database.close()


def test_the_columns_of_an_instance_name_its_refiners(session: Session) -> None:
    rows = session.execute(
        select(InstanceRow.refined_by, InstanceRow.iou_before, InstanceRow.track_id).order_by(
            InstanceRow.rank
        )
    )
    assert list(rows.tuples()) == [(None, None, None), (REFINED.refined_by, 0.8125, 3)]


def test_instances_are_read_with_them(session: Session) -> None:
    frame = session.scalars(select(FrameRow)).one()
    assert frame_instances(session, "run", frame, "teacher") == [PLAIN, REFINED]


def test_coco_has_them_for_refined_masks_only(session: Session, tmp_path: Path) -> None:
    frames = dataset_frames(session, "run", Home(tmp_path / "home"), decisions=["accepted"])
    write_coco(frames, tmp_path / "coco")
    tree = json.loads((tmp_path / "coco" / "annotations" / "instances.json").read_text())
    plain, refined = tree["annotations"]
    assert not {"refined_by", "iou_before", "track_id"} & set(plain)
    assert refined["track_id"] == 3
    assert (refined["refined_by"], refined["iou_before"]) == (REFINED.refined_by, 0.8125)
    assert refined["detector_bbox"] == plain["detector_bbox"]
