"""The whole pipeline on planted videos with scripted segmenters, so that every IoU is known."""

import json
import os
import shutil
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from sqlalchemy import select

from configs.models import RunConfig
from db.frames.dataset import dataset_frames
from db.frames.listing import FrameQuery, list_frames
from db.models.core import AgreementRow, DecisionRow, FrameRow, InstanceRow, RunRow, SourceRow
from db.review.items import review_items
from db.runs.writes import upsert_run
from labeling.datasets.formats.coco import write_coco
from labeling.storage.home import Home
from tasks.browse import draw_frame
from tasks.execution.context import database_of, open_context
from tasks.ingest import ingest_spec
from tests.fakes.videos import write_numbered_video
from tests.flows.dump import dump_rows
from tests.flows.scripted_runs import (
    HALF,
    LESS,
    WHOLE,
    closed_databases,
    home,
    rows_by_ms,
    run,
    scripted_config,
    video,
)

__all__ = ["closed_databases", "home", "video"]
pytestmark = pytest.mark.usefixtures("prefect")


def test_each_frame_gets_the_scripted_iou_and_decision(video: Path, home: Path) -> None:
    students = {0: [WHOLE], 500: [HALF], 1000: [LESS], 1500: [], 2000: [WHOLE], 2500: []}
    teachers: dict[int, list[list[int]]] = {2000: [], 2500: []}
    config = scripted_config({"boxes": [WHOLE], "by_ms": teachers}, {"by_ms": students})
    summary = run([video], config, home)
    rows = rows_by_ms(home)
    expected = {
        0: (1.0, "easy"),
        500: (0.5, "easy"),  # the threshold itself is not hard
        1000: (39 / 80, "accepted"),
        1500: (0.0, "accepted"),
        2000: (0.0, "review"),  # only the student found a person
        2500: (1.0, "easy"),  # neither found a person
    }
    assert set(rows) == set(expected)
    for pts_ms, (iou, decision) in expected.items():
        assert rows[pts_ms][0] == pytest.approx(iou, abs=1e-9), pts_ms
        assert rows[pts_ms][2] == decision, pts_ms
    assert summary.counts == {
        "accepted": 2, "compared": 6, "easy": 3, "hard": 3, "sampled": 6, "review": 1,
    }  # fmt: skip
    assert (summary.videos, summary.shards_done, summary.shards_pending) == (1, 1, 0)


def test_both_empty_is_flagged(video: Path, home: Path) -> None:
    run([video], scripted_config({}, {}), home)
    with database_of(Home(home.resolve())).session() as session:
        flags = session.scalars(select(AgreementRow.both_empty)).all()
    assert flags == [True] * 6


def test_a_low_score_of_the_teacher_sends_to_review_with_the_reason(video: Path, home: Path) -> None:
    run([video], scripted_config({"boxes": [WHOLE], "score": 0.4}, {}), home)
    with database_of(Home(home.resolve())).session() as session:
        decisions = session.scalars(select(DecisionRow)).all()
    assert {d.decision for d in decisions} == {"review"}
    assert [d.reasons[0] for d in decisions] == [{"code": "low_score", "value": 0.4, "minimum": 0.7}] * 6


def test_an_export_has_the_masks_of_the_teacher(video: Path, home: Path, tmp_path: Path) -> None:
    config = scripted_config({"boxes": [WHOLE, [120, 20, 30, 60]]}, {})
    summary = run([video], config, home)
    opened = Home(home.resolve())
    with database_of(opened).session() as session:
        write_coco(dataset_frames(session, summary.run_id, opened, decisions=["accepted"]), tmp_path / "coco")
    coco = COCO(str(tmp_path / "coco" / "annotations" / "instances.json"))
    assert len(coco.imgs) == 6
    for image in coco.imgs.values():
        assert (tmp_path / "coco" / "images" / image["file_name"]).is_file()
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert [a["bbox"] for a in annotations] == [[40, 40, 40, 80], [120, 20, 30, 60]]
        assert [a["area"] for a in annotations] == [3200, 1800]
        assert coco.annToMask(annotations[0])[40:120, 40:80].all()


def test_the_same_run_again_does_nothing(video: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = scripted_config({"boxes": [WHOLE]}, {"boxes": [HALF]})
    first = run([video], config, home)
    before = dump_rows(home)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a done shard was labeled again")

    monkeypatch.setattr("tasks.label.label_shard", refuse)
    again = run([video], config, home)
    assert dump_rows(home) == before
    assert again.counts == first.counts
    assert (first.shards_worked, again.shards_worked) == (1, 0)


def test_a_copy_of_a_video_is_the_same_video(video: Path, home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    shutil.copy(video, copy)
    summary = run([video, copy], scripted_config({"boxes": [WHOLE]}, {}), home)
    assert (summary.videos, summary.counts["sampled"]) == (1, 6)
    with database_of(Home(home.resolve())).session() as session:
        assert len(session.scalars(select(SourceRow)).all()) == 2


def test_another_config_is_another_run_over_the_same_frames(video: Path, home: Path) -> None:
    first = run([video], scripted_config({"boxes": [WHOLE]}, {"boxes": [HALF]}), home)
    stricter = {"agreement": {"hard_below": 0.6}}
    second = run([video], scripted_config({"boxes": [WHOLE]}, {"boxes": [HALF]}, **stricter), home)
    assert first.run_id != second.run_id
    assert first.counts.get("hard", 0) == 0
    assert second.counts["hard"] == 6
    with database_of(Home(home.resolve())).session() as session:
        assert len(session.scalars(select(FrameRow)).all()) == 6
        assert len(session.scalars(select(InstanceRow)).all()) == 2 * 2 * 6


def test_each_run_keeps_images_of_its_own_quality(video: Path, home: Path, tmp_path: Path) -> None:
    def images(run_id: str) -> list[Path]:
        opened = Home(home.resolve())
        with database_of(opened).session() as session:
            kept = list(dataset_frames(session, run_id, opened, decisions=["review"]))
            listed = list_frames(session, run_id, FrameQuery(order="time"))
            assert [opened.absolute(row.image or "") for row in listed] == [one.image for one in kept]
            items = review_items(session, session.get_one(RunRow, run_id), [one.id for one in kept])
            assert [home.resolve() / "images" / item.image for item in items] == [one.image for one in kept]
        draw_frame(open_context(opened), run_id, kept[0].id, tmp_path / f"{run_id}.png")
        return [one.image for one in kept]

    doubtful = {"boxes": [WHOLE], "score": 0.4}
    fine = run([video], scripted_config(doubtful, {}, jpeg_quality=95), home).run_id
    before = images(fine)
    coarse = run([video], scripted_config(doubtful, {}, jpeg_quality=10), home).run_id
    assert images(fine) == before
    sizes = [[path.stat().st_size for path in images(run_id)] for run_id in (fine, coarse)]
    assert min(sizes[0]) > max(sizes[1])
    assert (tmp_path / f"{fine}.png").read_bytes() != (tmp_path / f"{coarse}.png").read_bytes()


def test_a_frame_that_one_run_rejects_is_complete_in_another(video: Path, home: Path) -> None:
    sharp = scripted_config({"boxes": [WHOLE]}, {}, sampling={"min_sharpness": 1e9})
    assert "compared" not in run([video], sharp, home).counts
    kept = run([video], scripted_config({"boxes": [WHOLE]}, {}), home)
    run([video], scripted_config({"boxes": [WHOLE]}, {}, sampling={"min_sharpness": 1e8}), home)
    opened = Home(home.resolve())
    with database_of(opened).session() as session:
        frames = list(dataset_frames(session, kept.run_id, opened, decisions=["accepted"]))
    assert [frame.size_hw for frame in frames] == [(160, 240)] * 6
    assert all(frame.image.is_file() for frame in frames)


def test_several_shards_give_the_same_rows_as_one(video: Path, tmp_path: Path) -> None:
    students = {0: [WHOLE], 500: [HALF], 1000: [LESS], 1500: []}
    frames = {}
    for shard_s in (60, 1):
        sampling = {"sampling": {"shard_s": shard_s}}
        config = scripted_config({"boxes": [WHOLE]}, {"by_ms": students}, **sampling)
        home = tmp_path / f"home{shard_s}"
        assert run([video], config, home).shards_done == (1 if shard_s == 60 else 3)
        frames[shard_s] = rows_by_ms(home)
    assert frames[1] == frames[60]


def test_a_folder_of_images_is_a_source_without_times(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(5):
        cv2.imwrite(str(folder / f"p{number}.png"), rng.integers(0, 256, (64, 96, 3), np.uint8))
    config = scripted_config({"boxes": [[10, 10, 20, 30]]}, {})
    summary = run([folder], config, home)
    assert (summary.videos, summary.images, summary.counts["accepted"]) == (0, 5, 5)
    cv2.imwrite(str(folder / "p9.png"), rng.integers(0, 256, (64, 96, 3), np.uint8))
    shutil.copy(folder / "p0.png", folder / "same-as-p0.png")
    grown = run([folder], config, home)
    assert (grown.images, grown.counts["accepted"]) == (6, 6)  # one is new, none is labeled twice
    with database_of(Home(home.resolve())).session() as session:
        rows = session.scalars(select(FrameRow).order_by(FrameRow.name)).all()
    assert [row.name for row in rows] == ["p0.png", "p1.png", "p2.png", "p3.png", "p4.png", "p9.png"]
    assert all(row.pts_ms is None and row.image_index is not None for row in rows)


def test_all_images_of_a_folder_are_labeled_after_a_part_of_it(home: Path, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    rng = np.random.default_rng(5)
    for number in range(10):
        cv2.imwrite(str(whole / f"p{number}.png"), rng.integers(0, 256, (64, 96, 3), np.uint8))
    for number in range(5):
        shutil.copy(whole / f"p{number}.png", part)
    run([whole], scripted_config({"boxes": [HALF]}, {}, jpeg_quality=90), home)
    config = scripted_config({"boxes": [HALF]}, {}, sampling={"shard_images": 4})
    run([part], config, home)
    assert run([whole], config, home).counts["sampled"] == 10


def test_shards_left_by_a_killed_run_are_labeled_without_naming_their_source(
    video: Path, home: Path, tmp_path: Path
) -> None:
    other = write_numbered_video(tmp_path / "other.mp4", fps=Fraction(10), frames=10, size_hw=(160, 240))
    config = scripted_config({"boxes": [WHOLE]}, {})
    opened = Home(home.resolve())
    opened.create()
    with database_of(opened).transaction() as session:
        upsert_run(session, config.run_id(), name="test", config={}, code_version="test")
    ingest_spec(
        open_context(opened), str(other), config.run_id(), config
    )  # then killed before the first shard
    summary = run([video], config, home)
    assert (summary.shards_done, summary.shards_pending, summary.counts["sampled"]) == (2, 0, 8)


def test_more_workers_than_shards_finish_all_shards(video: Path, home: Path) -> None:
    config = scripted_config({"boxes": [WHOLE]}, {}, sampling={"shard_s": 1}, workers=8)
    assert run([video], config, home).shards_done == 3


def test_old_partial_downloads_are_removed_and_recent_ones_stay(video: Path, home: Path) -> None:
    left, fetching = (home / "videos" / name for name in (".partial-left", ".partial-fetching"))
    for folder in (left, fetching):
        folder.mkdir(parents=True)
        (folder / "half.mp4.part").write_bytes(b"half")
    two_days_ago = time.time() - 48 * 3600
    for path in (left, left / "half.mp4.part", fetching):
        os.utime(path, (two_days_ago, two_days_ago))
    run([video], scripted_config({"boxes": [WHOLE]}, {}), home)
    assert not left.exists()
    assert (fetching / "half.mp4.part").is_file()


def test_the_complete_config_of_a_run_is_stored(video: Path, home: Path) -> None:
    config = scripted_config({}, {})
    run([video], config, home)
    from db.runs.queries import latest_run

    with database_of(Home(home.resolve())).session() as session:
        stored = latest_run(session).config
    assert RunConfig.model_validate(stored) == config
    json.dumps(stored)
