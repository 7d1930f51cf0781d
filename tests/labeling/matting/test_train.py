"""The training loop: what it learns, and that a killed training continues to the same losses."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.training import MattingTraining
from labeling.matting.composites import CompositeSettings, Compositor, Sample
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


def test_the_network_overfits_four_composites(tmp_path: Path) -> None:
    from labeling.matting.inputs import NAMES
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
    from torch import distributed

    from labeling.matting.train import EpochSampler

    sampler = EpochSampler(4)
    assert (len(sampler), list(sampler)) == (4, [0, 1, 2, 3])
    sampler.set_epoch(2)
    assert list(sampler) == [8, 9, 10, 11]
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    dealt = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        dealt.append(list(sampler))
    assert dealt == [[16, 18, 20, 22], [17, 19, 21, 23]]


def test_metrics_of_several_starts_are_merged_and_half_a_line_is_left_out(tmp_path: Path) -> None:
    from labeling.matting.train import merge_metrics

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


@pytest.fixture
def undisturbed(tmp_path: Path) -> list[float]:
    from labeling.matting.train import train_supervised

    train_supervised(TINY, compositor(), tmp_path / "undisturbed")
    return losses(tmp_path / "undisturbed")


SCRIPT = """
import sys, time
from pathlib import Path
from labeling.matting.train import train_supervised
from tests.labeling.matting.test_train import TINY, compositor

folder, source = Path(sys.argv[1]), compositor()

class Stuck:
    def sample(self, index):
        if index == 11:
            (folder / "stuck").touch()
            time.sleep(600)
        return source.sample(index)

train_supervised(TINY, Stuck(), folder)
"""
"""Stops in the last step of the second epoch."""


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "killed")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    while not (tmp_path / "killed" / "stuck").is_file():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


def test_a_killed_training_continues_to_the_same_losses(
    undisturbed: list[float], stuck: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    from labeling.matting.train import train_supervised

    os.kill(stuck.pid, signal.SIGKILL)
    stuck.wait()
    folder = tmp_path / "killed"
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 3
    train_supervised(TINY, compositor(), folder)
    assert len([*(folder / "logs").iterdir()]) == 2
    np.testing.assert_allclose(losses(folder), undisturbed, atol=1e-6, rtol=0)
    assert [int(row["step"]) for row in read_metrics(folder)] == list(range(TINY.steps))


def test_a_finished_training_is_not_trained_again(undisturbed: list[float], tmp_path: Path) -> None:
    from labeling.matting.train import train_supervised

    class NoSamples:
        def sample(self, index: int) -> Sample:
            raise AssertionError("a finished training reads no sample")

    train_supervised(TINY, NoSamples(), tmp_path / "undisturbed")
    assert losses(tmp_path / "undisturbed") == undisturbed
