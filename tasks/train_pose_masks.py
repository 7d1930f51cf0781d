"""Training of the pose-mask network: labeled sets to people with keypoints, training, export."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from more_itertools import batched
from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.errors import ConfigError, ExtraMissing
from configs.training import PoseMaskTraining
from labeling.evaluation.ground_truth import read_labeled
from labeling.pose_masks.samples import LabeledPeople, PoseMaskSampler, SampleSettings
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask
from labeling.training.cutouts import (
    cut_out,
    find_keypoints,
    fingerprint_images,
    is_usable,
    reduce_image,
)
from labeling.training.folder import TrainingFolder
from labeling.training.inpainting import remove_people
from labeling.video.images import read_image
from tasks.training_data import (
    BATCH,
    SYNTHETIC,
    find_labeled_sets,
    make_teacher,
    read_image_folders,
    read_images,
    render_rooms,
    spread,
)
from tasks.training_records import FailedInput, TrainingData, recorded

MAX_PEOPLE = 254
"""Labels of an image are bytes."""


@dataclass(frozen=True, slots=True)
class PoseMaskOrder:
    """What to train on, and where to."""

    datasets: tuple[str, ...]
    """`synthetic`, YAML files of labeled sets, exported data sets."""
    to: Path
    settings: PoseMaskTraining
    backgrounds: tuple[Path, ...] = ()
    """Folders of images; without any, the labeled images without their people, and rendered rooms."""
    show_progress: bool = False


@dataclass(frozen=True, slots=True)
class PoseMaskSummary:
    """Result of one training."""

    folder: str
    network: str
    sha256: str
    images: int
    people: int
    with_keypoints: int
    cutouts: int
    backgrounds: int
    seconds: float
    failures: tuple[FailedInput, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class PoseMaskData(TrainingData):
    """What was read, with the people where they stood."""

    people: list[LabeledPeople] = field(default_factory=list)


@task(name="train-pose-mask", task_run_name="{order.to.name}", cache_policy=NO_CACHE, persist_result=False)
def train_pose_mask_task(order: PoseMaskOrder) -> PoseMaskSummary:
    """Train; see `train_pose_mask_network`."""
    return train_pose_mask_network(order)


def train_pose_mask_network(order: PoseMaskOrder) -> PoseMaskSummary:
    """Write the folder of one training; an interrupted one continues from its last checkpoint.

    Raises:
        ConfigError: no data set can be read, or the folder holds a training with other settings or data.
        ExtraMissing: torch or Lightning is not installed.
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    train, export, side_px = _load_pose_mask_libraries(order.settings.size)
    started, folder, settings = time.monotonic(), TrainingFolder(order.to), order.settings
    with folder.lock():
        data = PoseMaskData()
        read_pose_mask_data(order, data)
        folder.claim(
            {"settings": settings.identity(), "datasets": list(order.datasets), "data": data.fingerprints}
        )
        network = train(
            settings, _make_sampler(order, data, side_px), order.to, show_progress=order.show_progress
        )
        digest = export(network, folder.network)
        keypoints = [one for image in data.people for one in image.keypoints]
        summary = PoseMaskSummary(
            folder=str(order.to),
            network=str(folder.network),
            sha256=digest,
            images=len(data.people),
            people=len(keypoints),
            with_keypoints=sum(any(score > 0 for _, _, score in one) for one in keypoints),
            cutouts=len(data.cutouts),
            backgrounds=len(data.backgrounds),
            seconds=round(time.monotonic() - started, 1),
            failures=tuple(data.failures),
            warnings=tuple(data.warnings),
        )
        folder.finish(asdict(summary))
    return summary


def _load_pose_mask_libraries(size: str) -> tuple[Callable[..., Any], Callable[..., str], int]:
    try:
        from labeling.pose_masks.export import export_pose_masks
        from labeling.pose_masks.train import train_pose_masks
        from labeling.pose_masks.unet import SIZES
    except ImportError as exc:
        raise ExtraMissing(
            f"training requires {exc.name}, which is not installed: pip install 'maskmill[train]'"
        ) from exc
    return train_pose_masks, export_pose_masks, SIZES[size].side_px


def read_pose_mask_data(order: PoseMaskOrder, data: PoseMaskData, teacher: Segmenter | None = None) -> None:
    """Read people, cut-outs and backgrounds into `data`; what cannot be read is recorded there.

    Without a teacher, that of the settings is loaded.

    Raises:
        ConfigError: nothing can be read.
    """
    labeled = [name for name in order.datasets if name != SYNTHETIC]
    if labeled and teacher is None:
        teacher = make_teacher(order.settings, data)
    if SYNTHETIC in order.datasets:
        data.fingerprints[SYNTHETIC] = "rendered"
    for name in labeled:
        with recorded(name, data):
            _read_people(Path(name), teacher, order.settings.max_people, data)
    if not data.fingerprints:
        reasons = "; ".join(failure.message for failure in data.failures)
        raise ConfigError(f"no data set can be read: {reasons or 'name at least one, or `synthetic`'}")
    _read_backgrounds(order, data)


def _read_people(path: Path, teacher: Segmenter | None, count: int, data: PoseMaskData) -> None:
    sets = find_labeled_sets(path)
    if not sets:
        raise ConfigError(
            f"data set {path} is neither an export of maskmill nor a file of labeled sets: name one, or `synthetic`"
        )
    labeled = spread([image for one in sets for image in read_labeled(one) if image.people], count)
    digest, found = sha256(), 0
    for batch in batched(read_images(((image, list(image.people)) for image in labeled), data), BATCH):
        frames = [Frame("", None, rgb, index=number) for number, (rgb, _) in enumerate(batch)]
        poses = teacher.segment(frames) if teacher else [[] for _ in frames]
        for (rgb, masks), instances in zip(batch, poses, strict=True):
            keypoints = [find_keypoints(mask, instances) for mask in masks[:MAX_PEOPLE]]
            image = label_people(rgb, masks[:MAX_PEOPLE], keypoints)
            data.people.append(image)
            data.cutouts += [
                cut_out(rgb, *one) for one in zip(masks, keypoints, strict=False) if is_usable(one[0])
            ]
            digest.update(image.rgb.tobytes() + image.labels.tobytes() + str(image.keypoints).encode())
            found += len(masks)
    if not found:
        raise ConfigError(f"data set {path} has no person with a mask: name another one")
    data.fingerprints[str(path)] = digest.hexdigest()


def label_people(rgb: RgbImage, masks: Sequence[Mask], keypoints: Sequence[Keypoints]) -> LabeledPeople:
    """Return an image, reduced if it is large, with its people as labels."""
    labels = np.zeros(rgb.shape[:2], dtype=np.uint8)
    for number, mask in enumerate(masks, start=1):
        labels[mask.to_array() > 0] = number
    reduced = reduce_image(rgb)
    scale = reduced.shape[1] / rgb.shape[1]
    small = cv2.resize(labels, reduced.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    moved = tuple(
        tuple((round(x * scale, 2), round(y * scale, 2), round(score, 3)) for x, y, score in one)
        for one in keypoints
    )
    return LabeledPeople(reduced, np.asarray(small, dtype=np.uint8), moved)


def _read_backgrounds(order: PoseMaskOrder, data: PoseMaskData) -> None:
    limit = order.settings.max_backgrounds
    if order.backgrounds:
        for path in spread(read_image_folders(order.backgrounds, data), limit):
            with recorded(str(path), data):
                data.backgrounds.append(reduce_image(read_image(path)))
    else:
        data.backgrounds += [
            remove_people(image.rgb, image.labels > 0) for image in spread(data.people, limit)
        ]
    if SYNTHETIC in order.datasets or not data.backgrounds:
        data.backgrounds += render_rooms()
    data.fingerprints["backgrounds"] = fingerprint_images(data.backgrounds)


def _make_sampler(order: PoseMaskOrder, data: PoseMaskData, side_px: int) -> PoseMaskSampler:
    settings = order.settings
    figures = settings.figure_share if SYNTHETIC in order.datasets else 0.0
    return PoseMaskSampler(
        data.people,
        data.cutouts,
        data.backgrounds,
        side_px=side_px,
        seed=settings.seed,
        settings=SampleSettings(real_share=settings.real_share, figure_share=figures),
    )
