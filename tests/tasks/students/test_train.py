"""`maskmill train student` below the flow: which frames are learned from, what is written, and a killed training."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import ConfigError
from db.datasets.queries import find_version
from db.models.core import utc_now
from db.models.datasets import DatasetRow, DatasetSplitRow
from db.students.registry import list_students
from labeling.segmenters.custom_network import CustomNetworkSegmenter
from labeling.storage.home import Home
from labeling.structures.frames import Frame
from labeling.students.export import student_block
from tasks.execution.context import database_of, open_context
from tasks.files import read_kept as read_image_of
from tasks.students import frames as frames_module
from tasks.students.data import BaseDataset, choose_frames
from tasks.students.frames import read_frames
from tasks.students.train import train_student
from tasks.training_records import FailedInput
from tests.conftest import ROOT
from tests.tasks.students.planting import TINY, freeze, order, plant_version, rows, with_person
from tests.tasks.test_train import make_coco_export

pytestmark = [pytest.mark.requires("train", "lightning"), pytest.mark.requires("student", "tensorboardX")]


def hold_back(home: Home, video_id: str) -> None:
    """Put a video into a frozen set, as if its version had been made by other means."""
    with database_of(home).transaction() as session:
        session.add(DatasetRow(name="exam", shares=[0, 0, 1], seed=0, is_frozen=True, created_at=utc_now()))
        session.flush()
        frames = [row.frame_id for row in rows(home, "night") if row.video_id == video_id]
        session.add_all(
            DatasetSplitRow(name="exam", frame_id=one, video_id=video_id, split="test") for one in frames
        )


@pytest.mark.slow
def test_a_training_reads_train_and_val_alone_and_writes_networks_that_agree(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_version(home)
    known = rows(home, "night")
    held_back = next(row.video_id for row in known if row.split == "train")
    hold_back(home, held_back)
    read: set[int] = set()

    def read_kept(frame_id: int, image: str, home: Home) -> np.ndarray:  # type: ignore[type-arg]
        read.add(frame_id)
        return read_image_of(frame_id, image, home)

    monkeypatch.setattr(frames_module, "read_kept", read_kept)
    base = make_coco_export(tmp_path / "base")
    mixed = BaseDataset(base / "annotations" / "instances.json", base / "images")
    ordered = replace(order(home, tmp_path / "to"), base=mixed)
    summary = train_student(open_context(home), ordered)

    allowed = {row.frame_id for row in known if row.split in ("train", "val") and row.video_id != held_back}
    assert read == allowed
    assert (summary.left_out, summary.base_frames, summary.failures) == (3, 1, ())
    assert summary.train_frames + summary.val_frames == len(allowed)
    assert (summary.mask_iou, summary.largest_difference < 1e-4) == (1.0, True)
    assert set(summary.metrics["groups"]["all frames"]) == {"fp32", "onnx", "int8"}
    assert len((tmp_path / "to" / "metrics.csv").read_text().splitlines()) == 1 + TINY.steps
    assert "val_iou" in (tmp_path / "to" / "metrics.csv").read_text()
    assert list((tmp_path / "to" / "logs" / "tensorboard").glob("events.*"))
    with open_context(home).database.session() as session:
        [line] = list_students(session)
    assert (line.id, line.state, line.dataset) == (summary.sha256, "candidate", "night@1")
    assert line.metrics == summary.metrics
    for path, digest in ((summary.network, summary.sha256), (summary.int8, summary.int8_sha256)):
        block = student_block(Path(path), digest, TINY.input_hw)
        found = CustomNetworkSegmenter(block).segment([Frame("", None, with_person("v0", 0), index=0)])
        assert len(found) == 1

    again = train_student(open_context(home), ordered)
    assert (again.sha256, again.int8_sha256) == (summary.sha256, summary.int8_sha256)
    with pytest.raises(ConfigError, match=r"settings\.steps was 4, is 6"):
        train_student(open_context(home), order(home, tmp_path / "to", steps=6))


@pytest.mark.slow
def test_processes_that_make_samples_end_well_although_a_library_has_exit_handlers_of_its_threads(
    home: Home, tmp_path: Path
) -> None:
    """As Prefect has in a flow: its handler fails in a forked process, where its threads are not."""

    def fail() -> None:
        time.sleep(0.5)  # the parent waits for the end, as it does on a busy machine
        raise RuntimeError("called in a forked process")

    plant_version(home)
    handlers = threading._threading_atexits  # type: ignore[attr-defined]  # private in Python
    threading._register_atexit(fail)  # type: ignore[attr-defined]
    try:
        summary = train_student(open_context(home), order(home, tmp_path / "to", workers=1))
    finally:
        handlers[:] = [one for one in handlers if getattr(one, "func", None) is not fail]
    assert Path(summary.network).is_file()


def test_what_must_not_be_learned_from_is_refused(home: Home, tmp_path: Path) -> None:
    freeze(home, "f0", "f1")
    context = open_context(home)
    with pytest.raises(ConfigError, match="frozen is a frozen evaluation set: students are compared on it"):
        train_student(context, replace(order(home, tmp_path / "to"), dataset="frozen"))
    with pytest.raises(ConfigError, match="no dataset 'night'"):
        train_student(context, order(home, tmp_path / "to"))
    plant_version(home)
    with pytest.raises(ConfigError, match="no such file of weights"):
        train_student(context, replace(order(home, tmp_path / "to"), start="gone/w.pt"))
    with pytest.raises(ConfigError, match="no student 'abcdef'"):
        train_student(context, replace(order(home, tmp_path / "to"), start="abcdef"))


@pytest.mark.long
def test_a_student_learns_people_and_a_second_training_starts_from_it(home: Home, tmp_path: Path) -> None:
    plant_version(home)
    context = open_context(home)
    first = order(home, tmp_path / "first", steps=80, steps_per_epoch=20, batch=4, learning_rate=5e-3)
    summary = train_student(context, first)
    scores = summary.metrics["groups"]["all frames"]
    assert scores["fp32"]["iou"] > 0.7
    assert scores["onnx"]["iou"] == scores["fp32"]["iou"]
    assert scores["int8"]["iou"] > scores["fp32"]["iou"] - 0.01
    from_it = replace(order(home, tmp_path / "second", learning_rate=1e-6), start=summary.sha256[:12])
    assert train_student(context, from_it).metrics["groups"]["all frames"]["fp32"]["iou"] > 0.65


def test_random_frames_are_as_many_as_asked_for_and_others_for_another_seed(home: Home) -> None:
    plant_version(home)
    with open_context(home).database.session() as session:
        chosen = [
            choose_frames(session, "night", TINY.model_copy(update={"max_frames": 4, "seed": seed})).train
            for seed in (1, 1, 2)
        ]
        everything = choose_frames(session, "night", TINY).train
    assert [len(one) for one in chosen] == [4, 4, 4]
    assert np.array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])
    assert set(chosen[2].tolist()) < set(everything.tolist())


TRAIN = """
import sys
from pathlib import Path
from labeling.storage.home import Home
from tasks.execution.context import open_context
from tasks.students.train import train_student
from tests.tasks.students.planting import order
home = Home(Path(sys.argv[1]))
settings = {"steps": 8, "devices": int(sys.argv[3])}
summary = train_student(open_context(home), order(home, Path(sys.argv[2]), **settings))
print(summary.sha256, summary.int8_sha256, summary.metrics)
"""


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("devices", "moments"),
    [(1, ("frames/val/complete.json", "last.ckpt", "network_int8.onnx")), (2, ("last.ckpt",))],
)
def test_a_killed_training_ends_with_the_same_network(
    home: Home, tmp_path: Path, devices: int, moments: tuple[str, ...]
) -> None:
    """Killed with -9 once a file is there: of the frames, the first checkpoint, or the export. Two devices are processes."""
    plant_version(home)

    def start(to: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", TRAIN, str(home.root), str(to), str(devices)]
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)

    whole = start(tmp_path / "whole").communicate(timeout=240)[0]
    for reached in moments:
        process = start(tmp_path / "killed")
        while not (tmp_path / "killed" / reached).exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert start(tmp_path / "killed").communicate(timeout=240)[0] == whole
    assert (
        json.loads((tmp_path / "killed" / "training.json").read_text())["result"]["sha256"] in whole.decode()
    )
    with open_context(home).database.session() as session:
        assert len(list_students(session)) == 1


def test_an_image_that_is_gone_costs_that_frame_alone(home: Home, tmp_path: Path) -> None:
    plant_version(home)
    known = rows(home, "night")
    (home.root / known[0].image).unlink()
    failures: list[FailedInput] = []
    with open_context(home).database.session() as session:
        found = list(read_frames(session, find_version(session, "night"), known, home, failures))
    assert len(found) == len(known) - 1
    assert [failure.code for failure in failures] == ["storage"]
    assert found[0].person.area_px == 1800
