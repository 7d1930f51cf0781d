"""Frames of videos are stored by time, images of a set by index."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.connection.database import Database, open_database
from db.frames.dataset import dataset_frames
from db.frames.listing import FrameQuery, list_frames
from db.models.core import FrameRow, ShardRow, content_id
from db.runs.writes import ShardRange, plan_shards, record_models, record_video, store_shard, upsert_run
from labeling.storage.home import Home
from labeling.structures.instances import ModelCard
from labeling.structures.records import LabeledFrame, LabeledShard

CARDS = {role: ModelCard("test", role, "", "{}") for role in ("teacher", "student")}
VIDEO, IMAGES = "a" * 64, "b" * 64


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    database = open_database(database_url)
    store(
        database, VIDEO, "video", [LabeledFrame(ms, 0, 9.5, "", "easy", image="x/1.jpg") for ms in (500, 0)]
    )
    images = [LabeledFrame(None, i, 9.5, f"{i}.jpg", "easy", image="x/1.jpg", index=i) for i in (10, 9)]
    store(database, IMAGES, "images", images)
    with database.session() as opened:
        yield opened
    database.close()


def store(database: Database, video_id: str, kind: str, frames: list[LabeledFrame]) -> None:
    with database.transaction() as session:
        upsert_run(session, "run", name="test", config={}, code_version="test")
        record_models(session, "run", CARDS)
        record_video(session, {"id": video_id, "kind": kind, "path": kind})
        plan_shards(session, "run", video_id, [ShardRange(0, None)])
        shard = session.query(ShardRow).filter_by(video_id=video_id).one()
        assert store_shard(session, shard, LabeledShard(frames, CARDS, {"easy": len(frames)}, {}))


def test_rows_have_a_time_or_an_index_and_ids_hash_it(session: Session) -> None:
    query = select(FrameRow.id, FrameRow.video_id, FrameRow.pts_ms, FrameRow.image_index)
    assert set(session.execute(query).tuples()) == {
        (content_id("frame", VIDEO, 0), VIDEO, 0, None),
        (content_id("frame", VIDEO, 500), VIDEO, 500, None),
        (content_id("frame", IMAGES, 9), IMAGES, None, 9),
        (content_id("frame", IMAGES, 10), IMAGES, None, 10),
    }


def test_frames_are_listed_by_time_or_index(session: Session) -> None:
    lines = list_frames(session, "run", FrameQuery(order="time"))
    assert [(line.pts_ms, line.index) for line in lines] == [(0, None), (500, None), (None, 9), (None, 10)]


def test_a_dataset_names_files_by_time_or_index(session: Session, tmp_path: Path) -> None:
    frames = dataset_frames(session, "run", Home(tmp_path), decisions=["easy"])
    assert [(frame.file_name, frame.pts_ms) for frame in frames] == [
        ("aaaaaaaaaaaa_000000000.jpg", 0),
        ("aaaaaaaaaaaa_000000500.jpg", 500),
        ("bbbbbbbbbbbb_000000009.jpg", None),
        ("bbbbbbbbbbbb_000000010.jpg", None),
    ]
