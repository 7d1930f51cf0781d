"""The training loop: what it learns, and that a killed training continues to the same losses."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.training import MattingTraining
from labeling.matting.composites import CompositeSettings, Compositor
from labeling.matting.inputs import NAMES
from labeling.matting.samples import Sample
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.requires("train", module="lightning")]

TINY = MattingTraining(
    size="tiny", batch=2, steps=12, steps_per_epoch=3, workers=0, threads=1, device="cpu", divergence=0.5
)


def rooms() -> list[np.ndarray]:  # type: ignore[type-arg]
    rng = np.random.default_rng(2)
    return [rng.integers(60, 200, (80, 80, 3), dtype=np.uint8)]


def compositor(settings: CompositeSettings | None = None) -> Compositor:
    return Compositor([], rooms(), side_px=64, seed=1, settings=settings)


def read_metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def losses(folder: Path) -> list[float]:
    return [float(row["loss"]) for row in read_metrics(folder)]


class FourComposites:
    """The same four samples, again and again."""

    def __init__(self) -> None:
        calm = CompositeSettings(second_person=0, camouflage=0, distractor=0, ghost=0, unseen=0, noise=2)
        source = compositor(calm)
        self.samples = [source.sample(index) for index in range(4)]

    def sample(self, index: int) -> Sample:
        return self.samples[index % 4]


@pytest.mark.long
def test_the_network_overfits_four_composites(tmp_path: Path) -> None:
    from labeling.matting.train import train_supervised

    source = FourComposites()
    settings = TINY.model_copy(
        update={"batch": 4, "steps": 200, "steps_per_epoch": 100, "learning_rate": 0.01, "divergence": 0.0}
    )
    network = train_supervised(settings, source, tmp_path)
    inputs = [
        torch.stack([torch.from_numpy(getattr(sample.input, name)) for sample in source.samples])
        for name in NAMES
    ]
    with torch.no_grad():
        alpha, _ = network.train()(*inputs)  # with the statistics of these four
    mad = np.mean([np.abs(a.numpy() - s.alpha).mean() for a, s in zip(alpha, source.samples, strict=True)])
    curve = losses(tmp_path)
    assert len(curve) == 200
    assert curve[-1] < 0.2 * curve[0], (curve[0], curve[-1])
    assert mad < 0.03


def test_an_epoch_has_its_own_indices_and_devices_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from labeling.training.loop import EpochSampler

    sampler = EpochSampler(4)
    assert (len(sampler), list(sampler)) == (4, [0, 1, 2, 3])
    sampler.set_epoch(2)
    assert list(sampler) == [8, 9, 10, 11]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    dealt = []
    for rank in range(2):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        dealt.append(list(sampler))
    assert dealt == [[16, 18, 20, 22], [17, 19, 21, 23]]


def test_metrics_of_several_starts_are_merged_and_half_a_line_is_left_out(tmp_path: Path) -> None:
    from labeling.training.loop import merge_metrics

    merge_metrics(tmp_path)
    assert not (tmp_path / "metrics.csv").exists()
    logs = {
        "version_0": "epoch,loss,step\n0,4.0,0\n0,3.0,1\n1,2.9,2\n1,2.",
        "version_2": "epoch,extra,loss,step\n1,7,2.5,2\n",
        "version_10": "epoch,loss,step\n1,2.0,3\n",
    }
    for name, text in logs.items():
        (tmp_path / "logs" / name).mkdir(parents=True)
        (tmp_path / "logs" / name / "metrics.csv").write_text(text)
    merge_metrics(tmp_path)
    rows = [(row["step"], row["loss"], row["extra"]) for row in read_metrics(tmp_path)]
    assert rows == [("0", "4.0", ""), ("1", "3.0", ""), ("2", "2.5", "7"), ("3", "2.0", "")]


SCRIPT = """
import sys, time
from pathlib import Path
from labeling.matting.train import train_supervised
from tests.labeling.matting.test_train import TINY, compositor

class Stuck:
    def __init__(self, folder):
        self.folder, self.source = folder, compositor()

    def sample(self, index):
        if index == 11:
            (self.folder / "stuck").touch()
            time.sleep(600)
        return self.source.sample(index)

folder = Path(sys.argv[1])
if sys.argv[2] == "stuck":
    train_supervised(TINY, Stuck(folder / "killed"), folder / "killed")
for name in ("killed", "undisturbed"):
    train_supervised(TINY, compositor(), folder / name)
"""
"""Stops in the last step of the second epoch, or continues and also trains without a stop.

All in processes of its own, because the last digits depend on what a process did before.
"""


def start(folder: Path, how: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", SCRIPT, str(folder), how]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, start_new_session=True)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """Folder of a training that was killed in its second epoch."""
    process = start(tmp_path, "stuck")
    try:
        while not (tmp_path / "killed" / "stuck").is_file():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return tmp_path / "killed"


@pytest.mark.long
def test_a_killed_training_continues_to_the_same_losses(killed: Path, tmp_path: Path) -> None:
    assert torch.load(killed / "last.ckpt", weights_only=True)["global_step"] == 3
    assert start(tmp_path, "continue").wait() == 0
    assert len([*(killed / "logs").iterdir()]) == 2
    np.testing.assert_allclose(losses(killed), losses(tmp_path / "undisturbed"), atol=1e-6, rtol=0)
    assert [int(row["step"]) for row in read_metrics(killed)] == list(range(TINY.steps))


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    from labeling.matting.train import train_supervised
    from labeling.training.loop import STATISTICS_BATCHES

    class Counted:
        read = 0

        def sample(self, index: int) -> Sample:
            self.read += 1
            return compositor().sample(index)

    counted = Counted()
    train_supervised(TINY, compositor(), tmp_path)
    before = losses(tmp_path)
    train_supervised(TINY, counted, tmp_path)
    assert losses(tmp_path) == before
    assert counted.read == STATISTICS_BATCHES * TINY.batch  # for batch normalization only
