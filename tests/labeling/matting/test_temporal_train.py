"""Clips for the recurrent network, and its training loop."""

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from configs.training import TemporalTraining
from labeling.matting.temporal_clips import ClipSource
from labeling.structures.cutouts import Cutout
from labeling.synthetic.moving_backgrounds import DrawnBackground

FRAMES, SIDE = 3, 64


def source(seed: int = 1) -> ClipSource:
    rng = np.random.default_rng(5)
    person = rng.integers(90, 160, (100, 50, 3), dtype=np.uint8)
    wall = rng.integers(20, 80, (80, 80, 3), dtype=np.uint8)
    alpha = np.pad(np.ones((84, 34), np.float32), 8)
    return ClipSource(
        [Cutout(person, alpha)], [DrawnBackground("wall", wall)], side_px=SIDE, frames=FRAMES, seed=seed
    )


def test_a_clip_has_the_shapes_and_ranges_of_the_network() -> None:
    clip = source().clip(3)
    shapes = {name: array.shape for name, array in clip.items()}
    colors, maps = (FRAMES, 3, SIDE, SIDE), (FRAMES, 1, SIDE, SIDE)
    assert shapes == {
        **dict.fromkeys(("image", "foreground", "background"), colors),
        **dict.fromkeys(("alpha", "probability"), maps),
        "flow": (FRAMES - 1, 2, SIDE, SIDE),
        "is_known": (FRAMES - 1, 1, SIDE, SIDE),
    }
    assert {array.dtype for array in clip.values()} == {np.dtype(np.float32)}
    assert all(clip[name].min() >= -1 and clip[name].max() <= 1 for name in ("image", "background"))
    assert 0 <= clip["probability"].min() <= clip["probability"].max() <= 1
    composed = clip["alpha"] * clip["foreground"] + (1 - clip["alpha"]) * clip["background"]
    assert np.abs(composed - clip["image"]).mean() < 0.03  # the sensor's noise


def test_a_clip_depends_on_seed_and_index_alone() -> None:
    first, again = source().clip(4), source().clip(4)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["image"], source().clip(5)["image"])
    assert not np.array_equal(first["probability"], source(2).clip(4)["probability"])


def test_probabilities_are_near_alpha_flicker_and_sometimes_miss_the_person() -> None:
    clips = [source().clip(index) for index in range(16)]
    errors = [np.abs(clip["probability"] - clip["alpha"]).mean(axis=(1, 2, 3)) for clip in clips]
    assert 0.002 < np.median(errors) < 0.1
    missed = [clip["probability"][t].max() < 0.1 for clip in clips for t in range(FRAMES)]
    assert 0 < np.mean(missed) < 0.2
    changes = [np.abs(b - a).mean() for clip in clips for a, b in pairwise(clip["probability"])]
    true_changes = [np.abs(b - a).mean() for clip in clips for a, b in pairwise(clip["alpha"])]
    assert np.mean(changes) > 1.2 * np.mean(true_changes)


@pytest.mark.slow
@pytest.mark.requires("train", module="lightning")
def test_training_lowers_the_loss_and_continues_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labeling.matting import temporal_train
    from labeling.matting.temporal_train import train_temporal

    monkeypatch.setattr(temporal_train, "STATISTICS_BATCHES", 1)

    class TwoClips:
        clips = tuple(source().clip(index) for index in range(2))

        def clip(self, index: int) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
            return self.clips[index % 2]

    settings = TemporalTraining(
        size="tiny", batch=2, frames=FRAMES, steps=6, steps_per_epoch=3, learning_rate=0.005, workers=0,
        threads=1, device="cpu",
    )  # fmt: skip
    half = settings.model_copy(update={"steps": 3})
    train_temporal(half, TwoClips(), tmp_path / "stopped")
    train_temporal(settings, TwoClips(), tmp_path / "stopped")
    train_temporal(settings, TwoClips(), tmp_path / "whole")
    stopped, whole = (losses(tmp_path / name) for name in ("stopped", "whole"))
    assert len(whole) == 6
    assert stopped == pytest.approx(whole, rel=1e-4)
    assert whole[-1] < whole[0]


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]
