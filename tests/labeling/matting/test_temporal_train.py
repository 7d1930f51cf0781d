"""Samples for the recurrent network from stored clips, and its training loop."""

import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.synthesis import FakeMotionBlock
from configs.training import TemporalTraining
from labeling.matting.clip_store import ClipStore
from labeling.matting.temporal_clips import ClipSamples, simulate_masks
from labeling.structures.cutouts import Cutout
from labeling.synthetic.fake_motion import FakeFrame, FakeMotion
from labeling.synthetic.moving_backgrounds import DrawnBackground

FRAMES, SIDE, CLIPS = 3, 64, 3
SETTINGS = TemporalTraining(
    size="tiny", frames=FRAMES, clips=CLIPS, clip_frames=4, simulated_share=0.0,
    motion=FakeMotionBlock(width=96, height=64, duration_s=1.0, half_out=0.0, second_person=0.0),
    batch=2, steps=6, steps_per_epoch=3, learning_rate=0.005, workers=0, threads=1, device="cpu",
)  # fmt: skip
Images = NDArray[np.float32]


@pytest.fixture(scope="module")
def frames() -> list[list[FakeFrame]]:
    rng = np.random.default_rng(5)
    person = rng.integers(90, 160, (100, 50, 3), dtype=np.uint8)
    wall = rng.integers(20, 80, (80, 80, 3), dtype=np.uint8)
    alpha = np.pad(np.ones((84, 34), np.float32), 8)
    maker = FakeMotion([Cutout(person, alpha)], [DrawnBackground("wall", wall)], SETTINGS.motion)
    return [list(maker.frames(maker.plan(i), start=7, stop=11)) for i in range(CLIPS)]


@pytest.fixture(scope="module")
def store(frames: list[list[FakeFrame]], tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    made = ClipStore(tmp_path_factory.mktemp("clips"))
    for index, clip in enumerate(frames):
        made.write(index, clip, [(frame.alpha > 0.5).astype(np.float32) for frame in clip])
    return made


@pytest.fixture
def samples(store: ClipStore) -> ClipSamples:
    return ClipSamples(store, SETTINGS, side_px=SIDE)


def test_a_stored_clip_is_the_rendered_one(store: ClipStore, frames: list[list[FakeFrame]]) -> None:
    assert [store.has(index) for index in range(CLIPS + 1)] == [True] * CLIPS + [False]
    stored = store.read(1)
    assert np.array_equal(stored.frames[2, ..., :3], frames[1][2].rgb)
    assert np.abs(stored.frames[2, ..., 9] / 255 - frames[1][2].alpha).max() < 0.003
    flow = frames[1][2].flow
    assert flow is not None
    assert np.allclose(stored.flow[2], flow, atol=0.02)


def test_a_part_of_a_plan_is_rendered_as_in_the_whole() -> None:
    """But for the sensor's noise, which is drawn for the frames that are shown."""
    rng = np.random.default_rng(5)
    cutout = Cutout(
        rng.integers(0, 255, (60, 30, 3), dtype=np.uint8), np.pad(np.ones((52, 22), np.float32), 4)
    )
    wall = DrawnBackground("wall", rng.integers(0, 255, (80, 80, 3), dtype=np.uint8))
    maker = FakeMotion([cutout], [wall], FakeMotionBlock(width=64, height=64, duration_s=0.5))
    whole, part = list(maker.frames(maker.plan(2))), list(maker.frames(maker.plan(2), start=3, stop=6))
    assert [np.array_equal(a.rgb, b.rgb) for a, b in zip(whole[3:6], part, strict=True)] == [True] * 3
    assert part[-1].flow is None


def test_a_sample_has_the_shapes_and_ranges_of_the_network(samples: ClipSamples) -> None:
    sample = samples.clip(3)
    shapes = {name: array.shape for name, array in sample.items()}
    colors, maps = (FRAMES, 3, SIDE, SIDE), (FRAMES, 1, SIDE, SIDE)
    assert shapes == {
        **dict.fromkeys(("image", "foreground", "background"), colors),
        **dict.fromkeys(("alpha", "probability"), maps),
        "flow": (FRAMES - 1, 2, SIDE, SIDE),
        "is_known": (FRAMES - 1, 1, SIDE, SIDE),
    }
    assert {array.dtype for array in sample.values()} == {np.dtype(np.float32)}
    assert all(sample[name].min() >= -1 and sample[name].max() <= 1 for name in ("image", "background"))
    assert 0 <= sample["probability"].min() <= sample["probability"].max() <= 1
    composed = sample["alpha"] * sample["foreground"] + (1 - sample["alpha"]) * sample["background"]
    assert np.abs(composed - sample["image"]).mean() < 0.06  # the sensor's noise, and compression


def test_the_flow_of_a_sample_leads_to_the_same_alpha(samples: ClipSamples) -> None:
    """Also where the sample is mirrored, scaled or a part of the clip."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    moved, still = [], []
    for index in range(24):
        sample = samples.clip(index)
        for t in range(FRAMES - 1):
            x, y = columns + sample["flow"][t, 0], rows + sample["flow"][t, 1]
            known = sample["is_known"][t, 0] > 0
            known &= (x >= 0) & (x <= SIDE - 1) & (y >= 0) & (y <= SIDE - 1)
            later = cv2.remap(sample["alpha"][t + 1, 0], x, y, cv2.INTER_LINEAR)
            moved.append(np.abs(later - sample["alpha"][t, 0])[known].mean())
            still.append(np.abs(sample["alpha"][t + 1, 0] - sample["alpha"][t, 0])[known].mean())
    assert np.mean(moved) < 0.01
    assert np.mean(moved) < 0.5 * np.mean(still)


def test_a_sample_depends_on_seed_and_index_alone(store: ClipStore, samples: ClipSamples) -> None:
    first, again = samples.clip(4), ClipSamples(store, SETTINGS, side_px=SIDE).clip(4)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["image"], samples.clip(5)["image"])
    other = ClipSamples(store, SETTINGS.model_copy(update={"seed": 2}), side_px=SIDE)
    assert not np.array_equal(first["image"], other.clip(4)["image"])


def test_the_segmenters_mask_is_softened_and_sometimes_missing(samples: ClipSamples) -> None:
    made = [samples.clip(index) for index in range(40)]
    missed = [
        sample["probability"][t].max() == 0
        for sample in made
        for t in range(FRAMES)
        if sample["alpha"][t].max() > 0.9
    ]
    assert 0 < np.mean(missed) < 0.1
    errors = [np.abs(s["probability"] - s["alpha"]).mean() for s in made if s["probability"].min() == 0]
    assert 0 < np.median(errors) < 0.1


def test_simulated_masks_are_near_alpha_and_flicker() -> None:
    alpha = np.zeros((4, SIDE, SIDE), np.uint8)
    alpha[:, 10:60, 20:44] = 255
    rng = np.random.default_rng(3)
    made = [simulate_masks(rng, alpha) for _ in range(10)]
    assert 0 < np.mean([(one != alpha).mean() for one in made]) < 0.1
    assert np.mean([(a != b).mean() for one in made for a, b in pairwise(one)]) > 0.003


@pytest.mark.slow
@pytest.mark.requires("train", module="lightning")
@pytest.mark.parametrize("is_recurrent", [True, False])
def test_training_lowers_the_loss_and_continues_where_it_stopped(
    samples: ClipSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_recurrent: bool
) -> None:
    from labeling.matting import temporal_train
    from labeling.matting.temporal_train import train_temporal

    monkeypatch.setattr(temporal_train, "recompute_batch_norm", _do_nothing)

    class TwoSamples:
        made = tuple(samples.clip(index) for index in range(2))

        def clip(self, index: int) -> dict[str, Images]:
            return self.made[index % 2]

    settings = SETTINGS.model_copy(update={"is_recurrent": is_recurrent})
    stop_after_3(monkeypatch, lambda: train_temporal(settings, TwoSamples(), tmp_path / "stopped"))
    train_temporal(settings, TwoSamples(), tmp_path / "stopped")
    train_temporal(settings, TwoSamples(), tmp_path / "whole")
    stopped, whole = (losses(tmp_path / name) for name in ("stopped", "whole"))
    assert len(whole) == 6
    assert stopped == pytest.approx(whole, rel=1e-4)
    assert whole[-1] < whole[0]


def _do_nothing(*_: object, **__: object) -> None: ...


def stop_after_3(monkeypatch: pytest.MonkeyPatch, start: Callable[[], object]) -> None:
    """Raise in the fourth step; the checkpoint is that of the third."""
    from labeling.matting.temporal_train import TemporalStage

    step = TemporalStage.training_step

    def stop(stage: TemporalStage, batch: dict[str, object], index: int) -> object:
        if stage.global_step == 3:
            raise RuntimeError("stopped by the test")
        return step(stage, batch, index)  # type: ignore[arg-type]  # tensors

    with monkeypatch.context() as patched:
        patched.setattr(TemporalStage, "training_step", stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            start()


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]
