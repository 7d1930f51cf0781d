"""What keypoints and the divergence loss give the matting network: the thesis's Table 2, at the size of a CPU.

    python benchmarks/ablation.py people.yaml [--steps 600] [--side 128] [--base 8] [--seeds 1] [--to DIR]

Four networks start from the same weights and see the same samples, made of the people of `people.yaml` (labeled sets)
and of rendered ones: without keypoints and divergence loss, with either, and with both. They are compared on CDnet's
office (every fifth frame of 570 to 1100) and on composites with exact alpha (benchmarks/matting.py); neither may be in
`people.yaml`. The four trainings run beside each other, each step on one batch.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matting import (
    FPS,
    OFFICE,
    FloatImage,
    lite_segmenter,
    make_composite,
    plate_from,
    read_gray,
    read_rgb,
    report_exact,
    write_lossless,
)
from torch.utils.data import DataLoader

from configs.training import MattingTraining
from labeling.evaluation.mask_sweep import MaskMeter
from labeling.matting.background_matting import SIZES, BackgroundMattingNetwork, NetworkSize
from labeling.matting.composites import CompositeSettings, Compositor
from labeling.matting.export import export_network
from labeling.matting.frame import MattingFrame, matte_frames
from labeling.matting.inputs import NAMES
from labeling.matting.network import MattingNetwork
from labeling.matting.stream import prepare_frames
from labeling.matting.train import SampleDataset, SupervisedStage
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip
from labeling.training.loop import Batch, EpochSampler, recompute_batch_norm, seed_everything
from tasks.train import TrainingOrder, read_training_data
from tasks.training_records import TrainingData

FIRST, LAST = 569, 1100
VARIANTS = {
    "neither": (False, 0.0),
    "keypoints": (True, 0.0),
    "divergence": (False, 1.0),
    "both": (True, 1.0),
}
"""Whether the network sees keypoints, and the weight of the divergence loss."""


class Stage(SupervisedStage):
    """Takes its steps from a loop of ours, which trains several networks on each batch."""

    step = 0

    @property
    def global_step(self) -> int:
        return self.step

    def log_dict(self, *_: Any, **__: Any) -> None:
        """No logger listens."""


class WithoutKeypoints(SampleDataset):
    """Samples whose keypoints are all missing."""

    def __getitem__(self, index: int) -> Batch:
        return hide_keypoints(super().__getitem__(index))


def hide_keypoints(batch: Batch) -> Batch:
    return batch | {"keypoints": torch.zeros_like(batch["keypoints"])}


def train(settings: MattingTraining, samples: Compositor) -> dict[str, BackgroundMattingNetwork]:
    """Return the trained network of each variant."""
    stages, optimizers, schedules = {}, {}, {}
    for name, (_, divergence) in VARIANTS.items():
        seed_everything(settings)
        stage = Stage(settings.model_copy(update={"divergence": divergence}))
        found = stage.configure_optimizers()
        stages[name], optimizers[name] = stage, found["optimizer"]
        schedules[name] = found["lr_scheduler"]["scheduler"]
    sampler = EpochSampler(settings.batch * settings.epochs * settings.steps_per_epoch)
    for step, batch in enumerate(DataLoader(SampleDataset(samples), settings.batch, sampler=sampler)):
        for name, (sees_keypoints, _) in VARIANTS.items():
            stages[name].step = step
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
                loss = stages[name].training_step(batch if sees_keypoints else hide_keypoints(batch), step)
            optimizers[name].zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's
            optimizers[name].step()
            schedules[name].step()
    for name, (sees_keypoints, _) in VARIANTS.items():
        source = SampleDataset(samples) if sees_keypoints else WithoutKeypoints(samples)
        recompute_batch_norm(stages[name].network, source, inputs=NAMES, batch=settings.batch)
    return {name: stage.network for name, stage in stages.items()}


def frames_of(clip: Clip, plate_of: Clip, lite: Segmenter, *, every: int) -> list[MattingFrame]:
    return list(prepare_frames(clip, lite.segment, plate_from(plate_of, lite), every=every))


def mattes(
    network: MattingNetwork, frames: Sequence[MattingFrame], *, sees_keypoints: bool
) -> Iterator[FloatImage]:
    for frame in frames:
        people = frame.people if sees_keypoints else [replace(p, keypoints=None) for p in frame.people]
        yield matte_frames(network, [replace(frame, people=people)])[0].alpha


def compare(networks: dict[str, MattingNetwork], clips: Sequence[int]) -> None:
    lite = lite_segmenter()
    with tempfile.TemporaryDirectory() as folder:
        print("composites, every second frame: MAD, MSE and dtSSD x 1e-3, Grad / 1000")
        for number in clips:
            test = make_composite(number, Path(folder))
            clip = Clip(test.path.stem, test.path)
            frames = frames_of(clip, clip, lite, every=2)
            for name, network in networks.items():
                found = mattes(network, frames, sees_keypoints=VARIANTS[name][0])
                report_exact(name, {2 * i: alpha for i, alpha in enumerate(found)}, test, every=2)
        path = Path(folder) / "office.mp4"
        write_lossless(path, [read_rgb(image) for image in sorted((OFFICE / "input").iterdir())[:LAST]])
        part = Clip("office", path, start_s=Fraction(FIRST, FPS))
        frames = frames_of(part, Clip("office", path), lite, every=5)
    print("office")
    for name, network in networks.items():
        report_office(name, mattes(network, frames, sees_keypoints=VARIANTS[name][0]))


def report_office(name: str, alphas: Iterator[FloatImage]) -> None:
    meter, roi = MaskMeter(), read_gray(OFFICE / "ROI.bmp") > 0
    for position, alpha in enumerate(alphas):
        truth = read_gray(OFFICE / f"groundtruth/gt{FIRST + 5 * position + 1:06d}.png")
        meter.update(alpha, truth == 255, roi & ~np.isin(truth, (85, 170)))
    at = meter.score(0.5)
    print(f"    {name:18} F {at.f:.3f}  precision {at.precision:.3f}  recall {at.recall:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--base", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", default="32")
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--clips", type=int, nargs="*", default=[3, 20, 40])
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    SIZES["cpu"] = NetworkSize(
        options.side, base=options.base, shared_blocks=3, head_blocks=1, fine_alpha=True
    )
    settings = MattingTraining(
        seed=options.seed, steps=options.steps, precision=options.precision, weights_dir=options.weights_dir
    )
    order = TrainingOrder(("synthetic", options.people), options.to, settings)
    data = TrainingData()
    read_training_data(order, lite_segmenter(), data)
    samples = Compositor(
        data.cutouts,
        data.backgrounds,
        side_px=options.side,
        seed=options.seed,
        settings=CompositeSettings(rendered_share=settings.rendered_share),
    )
    begin_s = time.monotonic()
    trained = train(settings, samples)
    print(f"{options.steps} steps of {settings.batch} samples, {time.monotonic() - begin_s:.0f} s")
    options.to.mkdir(parents=True, exist_ok=True)
    for name, network in trained.items():
        export_network(network, options.to / f"{name}.onnx")
    compare({name: MattingNetwork(options.to / f"{name}.onnx") for name in VARIANTS}, options.clips)


if __name__ == "__main__":
    main()
