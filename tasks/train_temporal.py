"""Training of the recurrent matting network: data sets to cut-outs and backgrounds, clips, training, export."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.errors import ConfigError, ExtraMissing, SourceError
from configs.synthesis import FakeMotionBlock
from configs.training import TemporalTraining
from labeling.evaluation.ground_truth import read_labeled
from labeling.matting.clip_store import ClipStore
from labeling.matting.motion_average import REACH, FloatImage, average_around, find_step
from labeling.matting.rendered_cutouts import render_cutout
from labeling.matting.temporal_clips import ClipSamples
from labeling.segmenters.protocol import Segmenter
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import Frame
from labeling.structures.masks import union_masks
from labeling.synthetic.fake_motion import FakeFrame, FakeMotion
from labeling.synthetic.moving_backgrounds import Background, DrawnBackground
from labeling.training.cutouts import fingerprint_cutouts, reduce_image
from labeling.training.folder import TrainingFolder
from labeling.training.inpainting import remove_people
from tasks.moving_backgrounds import find_backgrounds
from tasks.training_data import SYNTHETIC, find_labeled_sets, make_teacher, read_dataset, read_images
from tasks.training_records import FailedInput, TrainingData, recorded

RENDERED_PEOPLE = 200
"""People of the data set `synthetic` if it is the only one."""


@dataclass(frozen=True, slots=True)
class TemporalOrder:
    """What to train on, and where to."""

    datasets: tuple[str, ...]
    """`synthetic`, YAML files of labeled sets, COCO files, exported data sets, folders of cut-outs."""
    to: Path
    settings: TemporalTraining
    backgrounds: tuple[Path, ...] = ()
    """Videos, images and folders of them; without any, the labeled images without their people, and rendered rooms."""
    show_progress: bool = False


@dataclass(frozen=True, slots=True)
class TemporalSummary:
    """Result of one training."""

    folder: str
    network: str
    sha256: str
    cutouts: int
    backgrounds: int
    clips: int
    seconds: float
    failures: tuple[FailedInput, ...] = ()
    warnings: tuple[str, ...] = ()


@task(name="train-temporal", task_run_name="{order.to.name}", cache_policy=NO_CACHE, persist_result=False)
def train_temporal_task(order: TemporalOrder) -> TemporalSummary:
    """Train; see `train_temporal_network`."""
    return train_temporal_network(order)


def train_temporal_network(order: TemporalOrder) -> TemporalSummary:
    """Write the folder of one training; an interrupted one continues with the clip or step that is missing.

    Raises:
        ConfigError: no data set can be read, `start` is no network of this size, or the folder holds a training with other settings or data.
        ExtraMissing: torch or Lightning is not installed.
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    train, export, side_px = _load_libraries(order.settings.size)
    started, folder, settings = time.monotonic(), TrainingFolder(order.to), order.settings
    with folder.lock():
        data = TrainingData()
        teacher = make_teacher(settings, data)
        if settings.start:
            data.fingerprints["start"] = _hash_file(settings.start)
        cutouts = read_people(order, data)
        backgrounds = read_backgrounds(order, data)
        folder.claim(
            {"settings": settings.identity(), "datasets": list(order.datasets), "data": data.fingerprints}
        )
        store = ClipStore(order.to / "clips")
        store_clips(order, FakeMotion(cutouts, backgrounds, _motion(settings)), teacher, store)
        if teacher is None:
            settings = settings.model_copy(update={"simulated_share": 1.0})
        samples = ClipSamples(store, settings, side_px=side_px)
        network = train(settings, samples, order.to, show_progress=order.show_progress)
        digest = export(network, folder.network)
        summary = TemporalSummary(
            folder=str(order.to),
            network=str(folder.network),
            sha256=digest,
            cutouts=len(cutouts),
            backgrounds=len(backgrounds),
            clips=settings.clips,
            seconds=round(time.monotonic() - started, 1),
            failures=tuple(data.failures),
            warnings=tuple(data.warnings),
        )
        folder.finish(asdict(summary))
    return summary


def _load_libraries(size: str) -> tuple[Callable[..., Any], Callable[..., str], int]:
    try:
        from labeling.matting.temporal_export import export_temporal
        from labeling.matting.temporal_matting import TEMPORAL_SIZES
        from labeling.matting.temporal_train import train_temporal
    except ImportError as exc:
        raise ExtraMissing(
            f"training requires {exc.name}, which is not installed: pip install 'maskmill[train]'"
        ) from exc
    return train_temporal, export_temporal, TEMPORAL_SIZES[size].side_px


def _hash_file(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise ConfigError(f"start: {path} cannot be read: {exc.strerror or exc}") from exc


def _motion(settings: TemporalTraining) -> FakeMotionBlock:
    return settings.motion.model_copy(update={"seed": settings.seed})


def read_people(order: TemporalOrder, data: TrainingData) -> list[Cutout]:
    """Return the cut-outs of all data sets; what cannot be read is recorded in `data`.

    Raises:
        ConfigError: there is none.
    """
    labeled = [name for name in order.datasets if name != SYNTHETIC]
    cutouts: list[Cutout] = []
    for name in labeled:
        with recorded(name, data):
            share = max(1, order.settings.motion.max_cutouts // len(labeled))
            cutouts += read_dataset(Path(name), None, share, data)[0]
    if SYNTHETIC in order.datasets:
        rendered = order.settings.rendered_share
        count = round(len(cutouts) * rendered / (1 - rendered)) if cutouts else RENDERED_PEOPLE
        rng = np.random.default_rng([order.settings.seed, 2])
        cutouts += [render_cutout(rng) for _ in range(max(1, count))]
    if not cutouts:
        reasons = "; ".join(failure.message for failure in data.failures)
        raise ConfigError(f"no data set can be read: {reasons or 'name at least one, or `synthetic`'}")
    data.fingerprints["cutouts"] = fingerprint_cutouts(cutouts)
    return cutouts


def read_backgrounds(order: TemporalOrder, data: TrainingData) -> list[Background]:
    """Return what is shown behind the people: no people whose masks are unknown.

    Raises:
        ConfigError: `order.backgrounds` is given, and nothing in it can be read.
    """
    found: list[Background] = []
    if order.backgrounds:
        found += find_backgrounds(order.backgrounds, data)
    else:
        found += _labeled_images(order, data)
    if SYNTHETIC in order.datasets or not found:
        found += find_backgrounds((), data)
    digest = sha256("\n".join(background.fingerprint() for background in found).encode())
    data.fingerprints["backgrounds"] = digest.hexdigest()
    return found


def _labeled_images(order: TemporalOrder, data: TrainingData) -> list[Background]:
    """Return the images of the labeled sets, with the pixels around continued over their people."""
    found: list[Background] = []
    for name in order.datasets:
        if name == SYNTHETIC:
            continue
        with suppress(ConfigError):  # it was recorded when its people were read
            sets = find_labeled_sets(Path(name))
            labeled = [image for one in sets for image in read_labeled(one)]
            for rgb, masks in read_images(((image, list(image.people)) for image in labeled), data):
                inside = union_masks(masks, (rgb.shape[0], rgb.shape[1])).to_array() > 0
                empty = remove_people(rgb, inside) if masks else reduce_image(rgb)
                found.append(DrawnBackground(f"{name} {len(found)}", empty))
    return found


def store_clips(order: TemporalOrder, maker: FakeMotion, teacher: Segmenter | None, store: ClipStore) -> None:
    """Write the clips that are missing.

    Raises:
        ConfigError: a background can no longer be read.
        StorageError: a clip cannot be written.
    """
    settings = order.settings
    for index in range(settings.clips):
        if not store.has(index):
            _store_clip(index, settings, maker, teacher, store)


def _store_clip(
    index: int, settings: TemporalTraining, maker: FakeMotion, teacher: Segmenter | None, store: ClipStore
) -> None:
    rng = np.random.default_rng([settings.seed, index, 5])
    start = int(rng.integers(settings.motion.frames - settings.clip_frames + 1))
    stop, first = start + settings.clip_frames, max(0, start - REACH)
    try:
        around = list(
            maker.frames(maker.plan(index), start=first, stop=min(settings.motion.frames, stop + REACH))
        )
    except SourceError as error:
        raise ConfigError(f"clip {index}: {error}") from error
    maps = _find_probability(around, teacher, dt_s=1 / settings.motion.fps)
    kept = slice(start - first, stop - first)
    store.write(index, around[kept], maps[kept])


def _find_probability(
    frames: Sequence[FakeFrame], teacher: Segmenter | None, *, dt_s: float
) -> list[FloatImage]:
    """Return each frame's person probability, averaged along the motion, as `matte_moving_clip` does."""
    images = [Frame("", None, frame.rgb, index=number) for number, frame in enumerate(frames)]
    found = teacher.segment(images) if teacher else [[] for _ in images]
    maps = [
        union_masks([person.mask for person in people if person.mask], image.size_hw)
        .to_array()
        .astype(np.float32)
        for image, people in zip(images, found, strict=True)
    ]
    lumas = [cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY).astype(np.uint8) for frame in frames]
    steps = [find_step(before, after, dt_s=dt_s) for before, after in pairwise(lumas)]
    return [average_around(maps, steps, at) for at in range(len(maps))]
