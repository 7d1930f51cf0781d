"""Fake-motion clips: people and backgrounds are read, clips are rendered and written, then their COCO file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import ConfigError, SourceError
from configs.synthesis import FakeMotionBlock
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.moving_clips import ClipFolder
from labeling.matting.rendered_cutouts import render_cutout
from labeling.structures.cutouts import Cutout
from labeling.synthetic.fake_motion import ClipPlan, FakeMotion
from labeling.synthetic.moving_backgrounds import (
    Background,
)
from labeling.training.cutouts import fingerprint_cutouts
from tasks.moving_backgrounds import find_backgrounds
from tasks.training_data import SYNTHETIC, read_dataset
from tasks.training_records import FailedInput, TrainingData, recorded

RENDERED_PEOPLE = 40
"""People of the data set `synthetic`."""
EachClip = Callable[[int, int], object]
"""Called after each clip with the number of clips done and the number of all."""


@dataclass(frozen=True, slots=True)
class SynthesisOrder:
    """What to make, and where."""

    people: tuple[str, ...]
    """`synthetic`, COCO files, YAML files of labeled sets, exported data sets, folders of PNG cut-outs."""
    clips: int
    to: Path
    backgrounds: tuple[Path, ...] = ()
    """Videos, images, and folders of them; without any, rendered rooms."""
    settings: FakeMotionBlock = field(default_factory=FakeMotionBlock)


@dataclass(frozen=True, slots=True)
class SynthesisSummary:
    """What was made."""

    folder: str
    coco: str
    clips: int
    """Clips in the folder."""
    written: int
    """Clips that this call wrote; the others were there."""
    frames: int
    instances: int
    cutouts: int
    backgrounds: int
    seconds: float
    failures: tuple[FailedInput, ...] = ()


def _no_progress(done: int, total: int) -> None:
    """Do nothing."""


def synthesize_clips(order: SynthesisOrder, each: EachClip = _no_progress) -> SynthesisSummary:
    """Write the clips that are missing in the folder, and the COCO file of all.

    Raises:
        ConfigError: no person or no background can be read, or the folder holds clips of other settings or data.
        StorageError, ExportError: a file cannot be written.
        AlreadyRunning: another process writes the folder.
    """
    if order.clips < 1:
        raise ConfigError(f"--clips {order.clips}: make at least one clip")
    started, data = time.monotonic(), TrainingData()
    cutouts = _read_people(order, data)
    backgrounds = find_backgrounds(order.backgrounds, data)
    maker, folder = FakeMotion(cutouts, backgrounds, order.settings), ClipFolder(order.to)
    written = 0
    with folder.exclusive():
        folder.claim(_identity(order, cutouts, backgrounds))
        for index in range(order.clips):
            if not folder.has(index):
                try:
                    _write_clip(maker, folder, index)
                    written += 1
                except SourceError as error:  # a full disk ends the work
                    data.failures.append(FailedInput(f"clip {index}", error.code, str(error)))
            each(index + 1, order.clips)
        coco = write_coco(folder.dataset_frames(order.clips), order.to / "coco")
        return SynthesisSummary(
            folder=str(order.to),
            coco=str(order.to / "coco" / "annotations" / "instances.json"),
            clips=sum(folder.has(index) for index in range(order.clips)),
            written=written,
            frames=coco.frames,
            instances=coco.instances,
            cutouts=len(cutouts),
            backgrounds=len(backgrounds),
            seconds=round(time.monotonic() - started, 1),
            failures=tuple(data.failures),
        )


def _read_people(order: SynthesisOrder, data: TrainingData) -> list[Cutout]:
    if not order.people:
        raise ConfigError("no people: name a COCO file or a folder with --people, or `--people synthetic`")
    share = max(1, order.settings.max_cutouts // len(order.people))
    cutouts: list[Cutout] = []
    for name in order.people:
        if name == SYNTHETIC:
            rng = np.random.default_rng([order.settings.seed, 2])
            cutouts += [render_cutout(rng) for _ in range(RENDERED_PEOPLE)]
            continue
        with recorded(name, data):
            cutouts += read_dataset(Path(name), None, share, data)[0]
    if not cutouts:
        reasons = "; ".join(failure.message for failure in data.failures)
        raise ConfigError(f"no person can be read: {reasons}")
    return cutouts


def _identity(
    order: SynthesisOrder, cutouts: Sequence[Cutout], backgrounds: Sequence[Background]
) -> dict[str, Any]:
    files = [background.fingerprint() for background in backgrounds]
    return {
        "settings": order.settings.model_dump(mode="json"),
        "people": {"count": len(cutouts), "sha256": fingerprint_cutouts(cutouts)},
        "backgrounds": {"count": len(files), "sha256": sha256("\n".join(files).encode()).hexdigest()},
        "maskmill": version("maskmill"),
    }


def _write_clip(maker: FakeMotion, folder: ClipFolder, index: int) -> None:
    plan = maker.plan(index)
    fps = Fraction(maker.settings.fps).limit_denominator(1001)
    folder.write(index, maker.frames(plan), fps=fps, facts=_describe(maker, plan))


def _describe(maker: FakeMotion, plan: ClipPlan) -> dict[str, Any]:
    people = [
        {"track_id": i + 1, "cutout": one.cutout, "leaves_and_returns": one.leaves}
        for i, one in enumerate(plan.people)
    ]
    return {
        "size_hw": list(maker.settings.size_hw),
        "background": maker.background_of(plan).name,
        "people": people,
    }
