"""Dataset versions: what they freeze, that nothing changes them, and what `dataset` commands print."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from typer.testing import CliRunner

from configs.errors import AlreadyRunning, ConfigError
from db.datasets.queries import find_version, list_versions, version_frames
from db.datasets.writes import NewVersion, PlacedFrame, store_version
from db.models.core import DecisionRow, InstanceRow, SourceRow
from db.models.datasets import (
    DatasetRow,
    DatasetSplitRow,
    DatasetVersionRow,
    FrameLabelsRow,
    SnapshotFrameRow,
    SnapshotRow,
)
from flows.cli.main import app
from labeling.datasets.records import DatasetFrame
from labeling.datasets.splits.assignment import Division
from labeling.datasets.versions.query import FrameQuery, parse_query
from labeling.storage.home import Home
from tasks.browse import remove_runs
from tasks.datasets.create import CreatedDataset, create_dataset
from tasks.datasets.order import LOCK, DatasetOrder
from tasks.datasets.remove import remove_dataset
from tasks.execution.context import database_of, open_context
from tasks.garbage import Ages, collect_garbage
from tests.planted_reviews import box_mask
from tests.tasks.datasets.planting import SIZE_HW, PlantedVideo, correct, plant, scene


def create(home: Home, name: str = "night", **order: object) -> CreatedDataset:
    return create_dataset(open_context(home), DatasetOrder(name, **order))  # type: ignore[arg-type]  # its fields


def frames_of(home: Home, version: str) -> list[DatasetFrame]:
    with database_of(home).session() as session:
        return list(version_frames(session, find_version(session, version), home))


def count(home: Home, *tables: type) -> list[int]:
    with database_of(home).session() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def make_old(home: Home) -> None:
    moment = time.time() - 100 * 86_400
    for path in (home.root / "images").rglob("*.jpg"):
        os.utime(path, (moment, moment))


VERSION_TABLES = (DatasetVersionRow, SnapshotRow, SnapshotFrameRow, DatasetSplitRow)
VIDEOS = [PlantedVideo(f"v{number}") for number in range(4)]


@pytest.mark.slow
def test_a_version_has_the_frames_and_masks_of_an_export_and_the_same_content_is_the_same_version(
    home: Home, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    run_id = plant(home, VIDEOS)
    correct(home, run_id, VIDEOS[0].frame_id(1), box_mask(5, 5, 20, 20, SIZE_HW))
    made = create(home)
    assert (made.is_new, made.version.number, made.version.frames, made.version.videos) == (True, 1, 12, 4)
    assert made.version.instances == 12
    again = create(home)
    assert (again.is_new, again.version) == (False, made.version)
    other = create(home, "other")
    assert other.version.id == made.version.id
    assert count(home, SnapshotRow, SnapshotFrameRow, FrameLabelsRow) == [1, 12, 12]
    for command in (["export", "coco"], ["dataset", "export", "night"]):
        done = CliRunner().invoke(app, [*command, str(tmp_path / command[0]), "--home", str(home.root)])
        assert done.exit_code == 0, done.output
    exported = annotations(tmp_path / "export", [""])
    assert len(exported) == 12
    assert annotations(tmp_path / "dataset", ["_train", "_val", "_test"]) == exported


def annotations(folder: Path, suffixes: list[str]) -> list[dict[str, object]]:
    trees = [
        json.loads((folder / "annotations" / f"instances{suffix}.json").read_text()) for suffix in suffixes
    ]
    return sorted((one for tree in trees for one in tree["annotations"]), key=lambda one: str(one["id"]))


def test_nothing_that_happens_later_changes_a_version(home: Home) -> None:
    run_id = plant(home, VIDEOS[:2])
    frame = VIDEOS[0].frame_id(1)
    correct(home, run_id, frame, box_mask(5, 5, 20, 20, SIZE_HW))
    create(home)
    before = frames_of(home, "night@1")
    correct(home, run_id, frame, box_mask(8, 8, 20, 20, SIZE_HW), "bob@example.org")
    assert create(home).version.number == 2
    assert count(home, FrameLabelsRow) == [6 + 1]
    with database_of(home).transaction() as session:
        session.execute(update(DecisionRow).values(decision="easy", image=None))
        session.execute(update(InstanceRow).values(rle=b"", score=0.1))
        session.execute(update(SourceRow).values(title="another", license="another"))
    make_old(home)
    collect_garbage(open_context(home), Ages(), delete=True)
    assert frames_of(home, "night@1") == before
    assert all(one.image.is_file() for one in before)


def test_a_removed_run_leaves_its_versions_and_their_images(home: Home) -> None:
    run_id = plant(home, VIDEOS[:1])
    create(home)
    before = frames_of(home, "night")
    remove_runs(open_context(home), [run_id])
    make_old(home)
    collect_garbage(open_context(home), Ages(), delete=True)
    assert frames_of(home, "night") == before
    assert all(one.image.is_file() for one in before)
    assert remove_dataset(open_context(home), "night") == 1
    tables = (DatasetRow, DatasetVersionRow, SnapshotRow, FrameLabelsRow, DatasetSplitRow)
    assert count(home, *tables) == [0] * len(tables)
    collect_garbage(open_context(home), Ages(), delete=True)
    assert not any(one.image.is_file() for one in before)


def test_frames_of_several_runs_come_from_the_first_that_has_them(home: Home) -> None:
    first = plant(home, VIDEOS[:2])
    second = plant(home, VIDEOS[1:], hard_iou=0.6)
    made = create(home, query=FrameQuery((first, second)))
    assert (made.version.frames, made.version.videos) == (12, 4)
    ids = {one.instances[0].id for one in frames_of(home, "night")}
    swapped = create(home, "swapped", query=FrameQuery((second, first)))
    assert swapped.version.id == made.version.id  # ids of instances are not content
    assert len(ids) == 12


CONDITIONS = [
    (["license=cc-by*"], {"v0", "v1"}),
    (["license!=cc-by*"], {"v2"}),
    (["uploader=ann", "title=v1*"], {"v1"}),
    (["trust>0"], set()),
    (["iou<0.5", "width=120"], {"v0", "v1", "v2"}),
    (["iou>=0.5"], set()),
]


@pytest.mark.slow
def test_conditions_choose_frames(home: Home) -> None:
    ann = PlantedVideo("v0", license="CC-BY-4.0", uploader="ann")
    plant(home, [ann, PlantedVideo("v1", license="cc-by-sa", uploader="Ann"), PlantedVideo("v2")])
    for number, (conditions, videos) in enumerate(CONDITIONS):
        name, query = f"d{number}", parse_query((), ("accepted",), conditions)
        if not videos:
            with pytest.raises(ConfigError, match="would be empty"):
                create(home, name, query=query)
            continue
        create(home, name, query=query)
        assert {one.title for one in frames_of(home, name)} == {f"{video}.mp4" for video in videos}


def test_one_version_is_made_at_a_time(home: Home) -> None:
    plant(home, VIDEOS[:1])
    with database_of(home).exclusive(LOCK):
        with pytest.raises(AlreadyRunning, match="dataset create"):
            create(home)
        with pytest.raises(AlreadyRunning, match="dataset create"):
            collect_garbage(open_context(home), Ages(), delete=True)


def test_a_name_keeps_its_division(home: Home) -> None:
    plant(home, VIDEOS[:2])
    create(home)
    with pytest.raises(ConfigError, match=r"has --split 80/10/10 --seed 0, not --split 50/25/25 --seed 0"):
        create(home, division=Division((0.5, 0.25, 0.25)))
    plant(home, VIDEOS, hard_iou=0.6)
    with pytest.raises(ConfigError, match="--frozen"):
        create(home, is_frozen=True)


def test_versions_are_found_by_name_number_and_id(home: Home) -> None:
    run_id = plant(home, VIDEOS[:1])
    first = create(home).version
    correct(home, run_id, VIDEOS[0].frame_id(0), box_mask(5, 5, 20, 20, SIZE_HW))
    second = create(home).version
    with database_of(home).session() as session:
        for text, version in (("night", second), ("night@1", first), (first.id[:8], first)):
            found = find_version(session, text)
            assert (found.number, found.snapshot_id) == (version.number, version.id)
        with pytest.raises(ConfigError, match=r"no dataset 'day': known: night@1, night@2"):
            find_version(session, "day")
        assert list_versions(session) == [first, second]
    other = create(home, name="day", division=Division((0.5, 0.25, 0.25))).version
    assert other.id == second.id, "the same frames, divided otherwise"
    with database_of(home).session() as session:
        with pytest.raises(ConfigError, match="each with its own splits: name night@2, day@1"):
            find_version(session, other.id)
        assert find_version(session, first.id).number == 1


@pytest.mark.slow
def test_create_notes_a_split_that_has_a_share_and_no_frame(home: Home) -> None:
    plant(home, [PlantedVideo("v0")])
    for shares, noted in (("100/0/0", 0), ("0/50/50", 1)):
        name = f"of{shares[0]}"
        done = CliRunner().invoke(
            app, ["dataset", "create", name, "--split", shares, "--home", str(home.root)]
        )
        assert done.exit_code == 0, done.output
        notes = {line.split()[-1] for line in done.stdout.splitlines() if "no frame is in" in line}
        assert len(notes) == noted
        assert "train" not in notes


def test_the_commands_show_what_was_made(home: Home) -> None:
    plant(home, [PlantedVideo("v0", license="CC0")])
    at = ["--home", str(home.root)]
    done = CliRunner().invoke(app, ["dataset", "create", "night", *at])
    assert done.stdout.startswith("created night@1 "), done.output
    assert "3 frames (3 " in done.stdout
    assert ", 1 video\n" in done.stdout
    listed = json.loads(CliRunner().invoke(app, ["dataset", "list", "--json", *at]).stdout)
    assert [(line["name"], line["frames"]) for line in listed] == [("night", 3)]
    shown = CliRunner().invoke(app, ["dataset", "show", "night", *at]).stdout
    assert "planted:teacher (teacher of run" in shown
    assert "1f1f1f1f1f1f" in shown
    assert "CC0: 1 video " in shown
    refused = CliRunner().invoke(app, ["dataset", "create", "a b", *at])
    assert refused.exit_code == 2
    gone = CliRunner().invoke(app, ["dataset", "rm", "day", "--yes", *at])
    assert gone.exit_code == 2


def test_a_version_that_fails_halfway_is_not_there(home: Home) -> None:
    plant(home, VIDEOS[:1])
    frame = VIDEOS[0].frame_id(0)
    create(home)
    with database_of(home).session() as session:
        [labels_id, *_] = session.scalars(select(FrameLabelsRow.id)).all()
    before = count(home, *VERSION_TABLES)
    new = NewVersion("night", {}, [], {}, "ab" * 32, [], 2)

    def one_frame() -> Iterator[PlacedFrame]:
        yield from [PlacedFrame(labels_id, frame, VIDEOS[0].id, "train")] * 2000
        raise InterruptedError

    with pytest.raises(InterruptedError), database_of(home).transaction() as session:
        store_version(session, new, one_frame())
    assert count(home, *VERSION_TABLES) == before


@pytest.mark.long
@pytest.mark.parametrize("stored", [1, 501])
def test_a_killed_create_leaves_no_half_version(home: Home, stored: int) -> None:
    same = [scene("v", 0)] * 200
    plant(home, [PlantedVideo(f"v{number}", frames=200, images=same) for number in range(3)])
    command = [sys.executable, "-m", "flows.cli.main", "dataset", "create", "night", "--home", str(home.root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while count(home, FrameLabelsRow)[0] < stored and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    versions, *others = count(home, *VERSION_TABLES)
    assert others == ([1, 600, 600] if versions else [0, 0, 0])
    assert count(home, FrameLabelsRow)[0] in (500, 600)
    made = create(home)
    assert (made.is_new, made.version.number, made.version.frames) == (not versions, 1, 600)
    assert count(home, SnapshotFrameRow, FrameLabelsRow) == [600, 600]
