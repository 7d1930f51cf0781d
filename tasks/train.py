"""Training of the matting network: data sets to cut-outs, videos to crops, both stages, export."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.errors import ConfigError, ExtraMissing, ModelError
from configs.training import MattingTraining
from labeling.background.masked_plate import build_plate
from labeling.matting.composites import CompositeSettings, Compositor
from labeling.matting.real_crops import RealSamples, store_crops
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip, Frame
from labeling.structures.masks import Mask, union_masks
from labeling.training.cutouts import (
    fingerprint_cutouts,
    fingerprint_images,
    reduce_image,
)
from labeling.training.folder import TrainingFolder
from labeling.video.images import read_image
from labeling.video.probe import probe_video
from tasks.training_data import (
    SYNTHETIC,
    make_teacher,
    read_dataset,
    read_image_folders,
    render_rooms,
    spread,
)
from tasks.training_records import FailedInput, TrainingData, recorded


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """What to train on, and where to."""

    datasets: tuple[str, ...]
    """`synthetic`, YAML files of labeled sets, exported data sets, folders of cut-outs."""
    to: Path
    settings: MattingTraining
    backgrounds: tuple[Path, ...] = ()
    """Folders of images; without any, the images of the labeled sets, and rendered rooms."""
    videos: tuple[Path, ...] = ()
    """Videos of static cameras for the adversarial stage; none: only the supervised stage."""
    show_progress: bool = False


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """Result of one training."""

    folder: str
    network: str
    sha256: str
    cutouts: int
    with_keypoints: int
    backgrounds: int
    crops: int
    """Crops of unlabeled videos."""
    seconds: float
    failures: tuple[FailedInput, ...] = ()
    warnings: tuple[str, ...] = ()


@task(name="train-matting", task_run_name="{order.to.name}", cache_policy=NO_CACHE, persist_result=False)
def train_matting_task(order: TrainingOrder) -> TrainingSummary:
    """Train; see `train_matting_network`."""
    return train_matting_network(order)


def train_matting_network(order: TrainingOrder) -> TrainingSummary:
    """Write the folder of one training; an interrupted one continues from its last checkpoint.

    Raises:
        ConfigError: no data set can be read, or the folder holds a training with other settings or data.
        ExtraMissing: torch or Lightning is not installed.
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    train_supervised, train_adversarial, export_network = _load_libraries()
    started, folder, settings = time.monotonic(), TrainingFolder(order.to), order.settings
    with folder.lock():
        data = TrainingData()
        needs_teacher = set(order.datasets) != {SYNTHETIC} or order.videos
        teacher = make_teacher(settings, data) if needs_teacher else None
        read_training_data(order, teacher, data)
        crops = _store_videos(order, teacher, folder, data)
        folder.claim(
            {"settings": settings.identity(), "datasets": list(order.datasets), "data": data.fingerprints}
        )
        network = train_supervised(
            settings, _compositor(order, data), order.to, show_progress=order.show_progress
        )
        if crops:
            samples = RealSamples(crops, data.backgrounds, side_px=network.size.side_px, seed=settings.seed)
            network = train_adversarial(
                settings, samples, network, folder.adversarial, show_progress=order.show_progress
            )
        digest = export_network(network, folder.network)
        summary = TrainingSummary(
            folder=str(order.to),
            network=str(folder.network),
            sha256=digest,
            cutouts=len(data.cutouts),
            with_keypoints=sum(any(score > 0 for _, _, score in c.keypoints) for c in data.cutouts),
            backgrounds=len(data.backgrounds),
            crops=len(crops),
            seconds=round(time.monotonic() - started, 1),
            failures=tuple(data.failures),
            warnings=tuple(data.warnings),
        )
        folder.finish(asdict(summary))
    return summary


def _load_libraries() -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., str]]:
    try:
        from labeling.matting.adversarial import train_adversarial
        from labeling.matting.export import export_network
        from labeling.matting.train import train_supervised
    except ImportError as exc:
        raise ExtraMissing(
            f"training requires {exc.name}, which is not installed: pip install 'maskmill[train]'"
        ) from exc
    return train_supervised, train_adversarial, export_network


def read_training_data(order: TrainingOrder, teacher: Segmenter | None, data: TrainingData) -> None:
    """Read cut-outs and backgrounds into `data`; what cannot be read is recorded there.

    Raises:
        ConfigError: nothing can be read.
    """
    settings = order.settings
    paths: list[Path] = []
    share = max(1, settings.max_cutouts // max(1, len(order.datasets)))
    for name in order.datasets:
        if name == SYNTHETIC:
            data.fingerprints[name] = "rendered"
            continue
        with recorded(name, data):
            cutouts, images = read_dataset(Path(name), teacher, share, data)
            data.fingerprints[name] = fingerprint_cutouts(cutouts)
            data.cutouts += cutouts
            paths += images
    if not data.fingerprints:
        reasons = "; ".join(failure.message for failure in data.failures)
        raise ConfigError(f"no data set can be read: {reasons or 'name at least one, or `synthetic`'}")
    _read_backgrounds(order, paths, data)


def _read_backgrounds(order: TrainingOrder, labeled: Sequence[Path], data: TrainingData) -> None:
    paths = read_image_folders(order.backgrounds, data) if order.backgrounds else labeled
    for path in spread(paths, order.settings.max_backgrounds):
        with recorded(str(path), data):
            data.backgrounds.append(reduce_image(read_image(path)))
    if SYNTHETIC in order.datasets or not data.backgrounds:
        data.backgrounds += render_rooms()
    data.fingerprints["backgrounds"] = fingerprint_images(data.backgrounds)


def _store_videos(
    order: TrainingOrder, teacher: Segmenter | None, folder: TrainingFolder, data: TrainingData
) -> list[Path]:
    """Return the crops of all videos; those of an earlier start are used again.

    Raises:
        ModelError: there are videos, and no teacher finds their people.
    """
    if not order.videos:
        return []
    if teacher is None:
        raise ModelError(f"the adversarial stage requires the teacher: {data.warnings[-1]}")
    crops: list[list[Path]] = []
    for video in order.videos:
        with recorded(str(video), data):
            crops.append(_store_video(video, order.settings, teacher, folder))
            data.fingerprints[str(video)] = _digest_files(crops[-1])
    if not any(crops):
        reasons = "; ".join(failure.message for failure in data.failures)
        raise ConfigError(f"no video can be used for the adversarial stage: {reasons}")
    return list(chain.from_iterable(crops))


def _store_video(
    video: Path, settings: MattingTraining, teacher: Segmenter, folder: TrainingFolder
) -> list[Path]:
    from labeling.matting.background_matting import SIZES

    side_px, adversarial = SIZES[settings.size].side_px, settings.adversarial
    facts = probe_video(video)
    key = f"{video.resolve()}|{video.stat().st_size}|{adversarial}|{side_px}|{settings.seed}|{teacher.card}"
    target = folder.adversarial / "crops" / f"{video.stem}-{sha256(key.encode()).hexdigest()[:12]}"
    if (target / "complete").is_file():
        return sorted(target.glob("*.npz"))
    clip = Clip(video.stem, video)
    prepared = teacher.prepare(clip)

    def find_people(frames: Sequence[Frame]) -> list[Mask]:
        found = prepared.segment(frames)
        return [
            union_masks([person.mask for person in people], frame.size_hw)
            for frame, people in zip(frames, found, strict=True)
        ]

    plate = build_plate(clip, find_people, adversarial.plate)
    total = round(float(facts.duration_s * facts.fps)) if facts.fps else 0
    every = max(1, math.ceil(total / adversarial.frames_per_video))
    crops = store_crops(
        clip, prepared.segment, plate, target, side_px=side_px, every=every, seed=settings.seed
    )
    if not crops:
        raise ConfigError(f"video {video}: the teacher finds no person in it; name another video")
    (target / "complete").touch()
    return crops


def _digest_files(paths: Sequence[Path]) -> str:
    digest = sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _compositor(order: TrainingOrder, data: TrainingData) -> Compositor:
    from labeling.matting.background_matting import SIZES

    settings = order.settings
    share = settings.rendered_share if SYNTHETIC in order.datasets else 0.0
    return Compositor(
        data.cutouts,
        data.backgrounds,
        side_px=SIZES[settings.size].side_px,
        seed=settings.seed,
        settings=CompositeSettings(rendered_share=share),
    )
