"""Exports by several processes have the bytes of exports by one."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from configs.errors import WorkerLost
from db.frames.dataset import FrameChoice, Stretch, dataset_frames, selected_frames, stretches_of_run
from db.models.core import ShardRow
from db.runs.writes import ShardRange, plan_shards, record_video
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.coco_parts import CocoPart, write_coco_parts
from labeling.storage.home import Home
from tasks import export_in_processes
from tasks.execution.context import database_of, open_context
from tasks.export import ExportOrder, write_dataset
from tasks.export_in_processes import PartOrder, parts_of_run, processes_for
from tests.labeling.datasets.frames import files_under
from tests.planted_reviews import box_mask
from tests.tasks.datasets.planting import SIZE_HW, PlantedVideo, correct, plant

DECISIONS = ("accepted", "reviewed", "easy")
VIDEOS = [
    PlantedVideo("v0", uploader="Ann", license="CC0"),
    PlantedVideo("v1", license="CC-BY-4.0"),
    PlantedVideo("v2", decision="review"),
    PlantedVideo("v3", frames=1, decision="easy"),
]


@pytest.fixture
def run_id(home: Home) -> str:
    run_id = plant(home, VIDEOS)
    correct(home, run_id, VIDEOS[2].frame_id(1), box_mask(5, 5, 20, 20, SIZE_HW))
    return run_id


def test_parts_of_stretches_have_the_bytes_of_the_whole(home: Home, run_id: str, tmp_path: Path) -> None:
    order = PartOrder(home, run_id, DECISIONS, ("person",))
    with database_of(home).session() as session:
        write_coco(dataset_frames(session, run_id, home, decisions=DECISIONS), tmp_path / "whole")
        halves = [
            Stretch(one.video_id, is_video=True, start=start, end=end)
            for one in stretches_of_run(session, run_id, shards=1)
            for start, end in ((None, 500), (500, None))
        ]
    parts = (export_in_processes._make(order, half) for half in halves)
    summary = write_coco_parts(parts, tmp_path / "parts")
    assert (summary.frames, summary.instances) == (8, 8)
    assert files_under(tmp_path / "parts") == files_under(tmp_path / "whole")


def test_stretches_cover_all_times_of_a_video_each_once(home: Home, run_id: str) -> None:
    with database_of(home).transaction() as session:
        record_video(session, {"id": "ff" * 32, "kind": "video", "path": "long.mp4"})
        ranges = [ShardRange(1000 * n, 1000 * n + 1000) for n in range(5)]
        plan_shards(session, run_id, "ff" * 32, ranges)
        found = stretches_of_run(session, run_id, shards=2)
        assert [(one.start, one.end) for one in found if one.video_id == "ff" * 32] == [
            (None, 2000),
            (2000, 4000),
            (4000, None),
        ]
        choices = [FrameChoice(("accepted", "review", "easy"), stretch=one) for one in found]
        rows = [row.id for choice in choices for row in selected_frames(session, run_id, choice)]
        assert len(rows) == len(set(rows)) == 10
        assert session.scalars(select(ShardRow.id).where(ShardRow.video_id == "ff" * 32)).all()


@pytest.mark.long
def test_an_export_of_a_large_run_uses_processes_and_has_the_same_files(
    home: Home, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ExportOrder(decisions=DECISIONS)  # type: ignore[arg-type]  # a tuple of texts
    context = open_context(home)
    alone = write_dataset(context, str(tmp_path / "alone"), order)
    with context.database.session() as session:
        assert processes_for(session, run_id) == 0
        monkeypatch.setattr(export_in_processes, "MIN_INSTANCES", 1)
        monkeypatch.setattr(export_in_processes, "available_cores", lambda: 2)
        assert processes_for(session, run_id) == 1
    assert write_dataset(context, str(tmp_path / "shared"), order) == alone
    assert files_under(tmp_path / "shared") == files_under(tmp_path / "alone")


@pytest.mark.long
def test_a_killed_process_ends_the_export_with_its_name_and_leaves_nothing(
    home: Home, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        export_in_processes, "_MOST_WAITING", 2
    )  # so that the other process has parts to make
    order = PartOrder(home, run_id, DECISIONS, ("person",))
    with pytest.raises(WorkerLost, match="export again"):
        _export_with_a_kill(home, order, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _export_with_a_kill(home: Home, order: PartOrder, folder: Path) -> None:
    """Kill the process after its first part."""
    with (
        database_of(home).session() as session,
        parts_of_run(session, order, processes=1) as parts,
    ):

        def killed() -> Iterator[CocoPart]:
            yield next(parts)
            for process in multiprocessing.active_children():
                os.kill(process.pid or 0, signal.SIGKILL)
            yield from parts

        write_coco_parts(killed(), folder)
