"""Training of the matting network: data sets to cut-outs, videos to crops, both stages, export."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from more_itertools import batched
from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.errors import ConfigError, ExtraMissing, MaskmillError, ModelError, WeightsMissing
from configs.ground_truth import LabeledSet
from configs.load import load_labeled_sets
from configs.training import MattingTraining
from labeling.background.masked_plate import build_plate
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ground_truth import read_labeled
from labeling.matting.composites import CompositeSettings, Compositor
from labeling.matting.cutouts import (
    cut_out,
    find_keypoints,
    fingerprint_cutouts,
    fingerprint_images,
    is_usable,
    read_cutout,
    reduce_image,
)
from labeling.matting.real_crops import RealSamples, store_crops
from labeling.matting.training_folder import TrainingFolder
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.protocol import Segmenter
from labeling.sources.file_types import is_image_name, natural_order
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.masks import Mask, union_masks
from labeling.synthetic.room import draw_room
from labeling.video.images import read_image
from labeling.video.probe import probe_video

SYNTHETIC = "synthetic"
"""Name of the data set of rendered people and rooms."""
ROOMS = 20
ROOM_HW = (360, 640)
BATCH = 4
"""Images per call of the teacher."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FailedInput:
    """A data set, a folder of backgrounds or a video that was left out."""

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """What to train on, and where to."""

    datasets: tuple[str, ...]
    """`synthetic`, COCO files, YAML files of labeled sets, exported data sets, folders of cut-outs."""
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


@dataclass(slots=True)
class TrainingData:
    """What was read, and what could not be."""

    cutouts: list[Cutout] = field(default_factory=list)
    backgrounds: list[RgbImage] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)
    failures: list[FailedInput] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


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
        teacher = _make_teacher(order, data)
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


def _make_teacher(order: TrainingOrder, data: TrainingData) -> Segmenter | None:
    """Load the teacher if something requires it; without its weights, cut-outs have no keypoints."""
    if set(order.datasets) == {SYNTHETIC} and not order.videos:
        return None
    settings = order.settings
    device = "cpu" if settings.device == "cpu" else "auto"
    try:
        return make_segmenter(settings.teacher, weights_dir=settings.weights_dir, device=device, batch=BATCH)
    except (WeightsMissing, ExtraMissing) as error:
        data.warnings.append(f"no keypoints, because the teacher cannot be loaded: {error}")
        return None


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


@contextmanager
def recorded(name: str, data: TrainingData) -> Iterator[None]:
    """Record an error of maskmill, so that the other inputs go on."""
    try:
        yield
    except MaskmillError as error:
        data.failures.append(FailedInput(name, error.code, str(error)))


def read_dataset(
    path: Path, teacher: Segmenter | None, count: int, data: TrainingData
) -> tuple[list[Cutout], list[Path]]:
    """Return up to `count` cut-outs, and the images they come from if these can be backgrounds."""
    if path.suffix == ".json":
        sets = [LabeledSet(images=_images_of(path), coco=path)]
    elif not path.is_dir():
        sets = list(load_labeled_sets(path).values())
    elif (path / "annotations" / "instances.json").is_file():
        sets = [LabeledSet(images=path / "images", coco=path / "annotations" / "instances.json")]
    elif (path / "masks").is_dir() and (path / "images").is_dir():
        sets = [LabeledSet(images=path / "images", masks=path / "masks")]
    elif (path / "data.yaml").is_file():
        raise ConfigError(f"data set {path} is in YOLO's format: export it again with `maskmill export coco`")
    else:
        return _read_cutouts(path, count, data), []
    labeled = [image for one in sets for image in read_labeled(one)]
    cutouts = list(_cut_out_all(labeled, teacher, count, data))
    if not cutouts:
        raise ConfigError(
            f"data set {path} has no person of at least 90 px height with a mask away from the borders: "
            "name another one"
        )
    return cutouts, [image.path for image in labeled]


def _images_of(coco: Path) -> Path:
    """Return the folder of a COCO file's images: `../NAME` of `instances_NAME.json`, `images` near it, or its own."""
    name = coco.stem.removeprefix("instances_").removeprefix("person_keypoints_")
    candidates = (coco.parent.parent / name, coco.parent / "images", coco.parent.parent / "images")
    return next((folder for folder in candidates if folder.is_dir()), coco.parent)


def _read_cutouts(path: Path, count: int, data: TrainingData) -> list[Cutout]:
    images = _images_in(path)
    if not images:
        raise ConfigError(
            f"data set {path} has neither a COCO or mask export of maskmill nor PNG cut-outs: name a YAML "
            "file of labeled sets, an exported folder, or a folder of PNG files with transparency"
        )
    cutouts: list[Cutout] = []
    for image in _spread(images, count):
        with recorded(str(image), data):
            cutouts.append(read_cutout(image))
    if not cutouts:
        raise ConfigError(f"data set {path} has no PNG file with transparency: name another folder")
    return cutouts


def _cut_out_all(
    labeled: Sequence[LabeledImage], teacher: Segmenter | None, count: int, data: TrainingData
) -> Iterator[Cutout]:
    """Yield the usable people of images, each image decoded once."""
    usable = [(image, mask) for image in labeled for mask in image.people if is_usable(mask)]
    by_image: dict[Path, tuple[LabeledImage, list[Mask]]] = {}
    for image, mask in _spread(usable, count):
        by_image.setdefault(image.path, (image, []))[1].append(mask)
    for batch in batched(_read_images(by_image.values(), data), BATCH):
        frames = [Frame("", None, rgb, index=number) for number, (rgb, _) in enumerate(batch)]
        found = teacher.segment(frames) if teacher else [[] for _ in frames]
        for (rgb, masks), people in zip(batch, found, strict=True):
            yield from (cut_out(rgb, mask, find_keypoints(mask, people)) for mask in masks)


def _read_images(
    images: Iterable[tuple[LabeledImage, list[Mask]]], data: TrainingData
) -> Iterator[tuple[RgbImage, list[Mask]]]:
    """Yield the images that can be read; the others are recorded."""
    for image, masks in images:
        with recorded(str(image.path), data):
            rgb = read_image(image.path)
            image.check_size((rgb.shape[0], rgb.shape[1]))
            yield rgb, masks


def _read_backgrounds(order: TrainingOrder, labeled: Sequence[Path], data: TrainingData) -> None:
    paths: list[Path] = []
    for folder in order.backgrounds:
        with recorded(str(folder), data):
            if not (images := _images_in(folder)):
                raise ConfigError(f"backgrounds {folder}: no image in it; name a folder of images")
            paths += images
    if not order.backgrounds:
        paths += labeled
    for path in _spread(paths, order.settings.max_backgrounds):
        with recorded(str(path), data):
            data.backgrounds.append(reduce_image(read_image(path)))
    if SYNTHETIC in order.datasets or not data.backgrounds:
        rooms = (draw_room(ROOM_HW, seed).backdrop for seed in range(ROOMS))
        data.backgrounds += [np.clip(room, 0, 255).astype(np.uint8) for room in rooms]
    data.fingerprints["backgrounds"] = fingerprint_images(data.backgrounds)


def _images_in(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order of their names; none if it is not a folder."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: check the path")
    images = (path for path in folder.iterdir() if is_image_name(path.name))
    return sorted(images, key=lambda path: natural_order(path.name))


def _spread(items: Sequence[T], count: int) -> list[T]:
    """Return `count` items at equal distances, or all.

    >>> _spread([0, 1, 2, 3, 4], 2)
    [0, 2]
    """
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


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
