"""`maskmill train temporal` below the flow: clips, a killed training, what is refused, what is written."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.errors import ConfigError
from configs.load import load_temporal_training
from configs.segmenters import PythonBlock
from configs.synthesis import FakeMotionBlock
from configs.training import TemporalTraining
from labeling.matting.clip_store import ClipStore
from labeling.matting.temporal_network import TemporalNetwork
from tasks.train_temporal import TemporalOrder, read_backgrounds, read_people, train_temporal_network
from tasks.training_records import TrainingData
from tests.conftest import ROOT
from tests.tasks.test_train import make_coco_export, make_cutouts

TINY = TemporalTraining(
    size="tiny", batch=2, frames=2, steps=4, steps_per_epoch=2, clips=3, clip_frames=3, workers=0, threads=1,
    motion=FakeMotionBlock(width=96, height=64, duration_s=0.5),
    device="cpu",
    teacher=PythonBlock(factory="tests.fakes.segmenters:scripted", options={"boxes": [[40, 10, 20, 40]]}),
)  # fmt: skip
needs_lightning = pytest.mark.requires("train", module="lightning")


def order_of(folder: Path, to: Path, **changes: object) -> TemporalOrder:
    return TemporalOrder((str(folder),), to, TINY.model_copy(update=changes))


def test_people_and_backgrounds_are_read(tmp_path: Path) -> None:
    order = order_of(make_coco_export(tmp_path / "coco"), tmp_path / "to")
    data = TrainingData()
    (cutout,) = read_people(order, data)
    (background,) = read_backgrounds(order, data)
    assert cutout.alpha.max() == 1
    assert set(data.fingerprints) == {"cutouts", "backgrounds"}
    (image,) = list(background.images(np.random.default_rng(0), [0]))  # type: ignore[list-item]  # a time
    assert image.shape == (200, 160, 3)


def test_rendered_people_are_a_share_of_all(tmp_path: Path) -> None:
    coco = make_coco_export(tmp_path / "coco")
    order = TemporalOrder(
        ("synthetic", str(coco)), tmp_path, TINY.model_copy(update={"rendered_share": 0.75})
    )
    assert len(read_people(order, TrainingData())) == 4


def test_people_behind_the_people_are_painted_over(tmp_path: Path) -> None:
    folder = make_coco_export(tmp_path / "coco")
    image = np.full((200, 160, 3), 90, np.uint8)
    image[40:160, 50:100] = 250
    cv2.imwrite(str(folder / "images" / "one.jpg"), image)
    order = order_of(folder, tmp_path / "to")
    (background,) = read_backgrounds(order, TrainingData())
    (shown,) = list(background.images(np.random.default_rng(0), [0]))  # type: ignore[list-item]  # a time
    assert shown.max() < 130


def test_a_data_set_that_cannot_be_read_is_recorded_once_and_the_others_are_used(tmp_path: Path) -> None:
    coco = make_coco_export(tmp_path / "coco")
    order = TemporalOrder((str(tmp_path / "no-such"), str(coco)), tmp_path / "to", TINY)
    data = TrainingData()
    assert len(read_people(order, data)) == len(read_backgrounds(order, data)) == 1
    assert [failure.name for failure in data.failures] == [str(tmp_path / "no-such")]


@pytest.mark.parametrize("share", ["1", "1.5", "-0.1"])
def test_not_all_people_can_be_rendered_beside_other_data(share: str) -> None:
    with pytest.raises(ConfigError, match="rendered_share"):
        load_temporal_training(None, [f"rendered_share={share}"])


def test_without_any_data_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no data set can be read: .*no-such"):
        read_people(order_of(tmp_path / "no-such", tmp_path / "to"), TrainingData())


def test_a_sample_is_not_longer_than_a_clip() -> None:
    with pytest.raises(ConfigError, match=r"frames \(4\) must not exceed clip_frames \(3\)"):
        load_temporal_training(None, ["clip_frames=3"])


@pytest.mark.slow
@needs_lightning
def test_a_training_writes_a_network_and_the_same_order_again_changes_nothing(tmp_path: Path) -> None:
    order = order_of(make_cutouts(tmp_path / "people"), tmp_path / "to")
    summary = train_temporal_network(order)
    assert (summary.cutouts, summary.clips, summary.failures) == (1, 3, ())
    assert TemporalNetwork(Path(summary.network)).sha256 == summary.sha256
    result = json.loads((order.to / "training.json").read_bytes())["result"]
    assert result["sha256"] == summary.sha256
    assert train_temporal_network(order).sha256 == summary.sha256
    with pytest.raises(ConfigError, match="learning_rate"):
        train_temporal_network(order_of(tmp_path / "people", order.to, learning_rate=0.5))


TRAIN = """
import sys
from pathlib import Path
from tasks.train_temporal import train_temporal_network
from tests.tasks.test_train_temporal import order_of
print(train_temporal_network(order_of(Path(sys.argv[1]), Path(sys.argv[2]), steps=8)).sha256)
"""


@pytest.mark.long
@needs_lightning
def test_a_killed_training_ends_with_the_same_network(tmp_path: Path) -> None:
    """Killed with -9 while clips are made, and after the first checkpoint."""
    people = make_cutouts(tmp_path / "people")

    def start(to: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", TRAIN, str(people), str(to)]
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)

    whole = start(tmp_path / "whole").communicate(timeout=240)[0]
    for reached in ("clips/000001.npy", "last.ckpt"):
        process = start(tmp_path / "killed")
        while not (tmp_path / "killed" / reached).exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert start(tmp_path / "killed").communicate(timeout=240)[0] == whole
    assert len(whole.split()[-1]) == 64
    assert ClipStore(tmp_path / "killed" / "clips").has(2)


@pytest.mark.slow
@needs_lightning
def test_a_network_to_start_from_that_is_not_there_is_named(tmp_path: Path) -> None:
    order = order_of(make_cutouts(tmp_path / "people"), tmp_path / "to", start=tmp_path / "gone.onnx")
    with pytest.raises(ConfigError, match=r"start: .*gone\.onnx cannot be read"):
        train_temporal_network(order)
