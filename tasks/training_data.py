"""What trainings read: labeled sets, backgrounds, and the teacher that finds keypoints."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from more_itertools import batched

from configs.errors import ConfigError, ExtraMissing, WeightsMissing
from configs.ground_truth import LabeledSet
from configs.load import load_labeled_sets
from configs.training import MattingTraining, PoseMaskTraining, TemporalTraining
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ground_truth import read_labeled
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.protocol import Segmenter
from labeling.sources.file_types import is_image_name, natural_order
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.masks import Mask
from labeling.synthetic.room import draw_room
from labeling.training.cutouts import cut_out, find_keypoints, is_usable, read_cutout
from labeling.video.images import read_image
from tasks.training_records import TrainingData, recorded

SYNTHETIC = "synthetic"
"""Name of the data set of rendered people and rooms."""
ROOMS = 20
ROOM_HW = (360, 640)
BATCH = 4
"""Images per call of the teacher."""
T = TypeVar("T")


def make_teacher(
    settings: MattingTraining | PoseMaskTraining | TemporalTraining, data: TrainingData
) -> Segmenter | None:
    """Load the teacher; None without its weights, and `data` has a warning."""
    device = "cpu" if settings.device == "cpu" else "auto"
    try:
        return make_segmenter(settings.teacher, weights_dir=settings.weights_dir, device=device, batch=BATCH)
    except (WeightsMissing, ExtraMissing) as error:
        data.warnings.append(f"the training goes on without its teacher, which cannot be loaded: {error}")
        return None


def find_labeled_sets(path: Path) -> list[LabeledSet]:
    """Return the sets of a COCO or YAML file or of an exported folder; none for another folder.

    Raises:
        ConfigError: the file is wrong, or the folder is in YOLO's format.
    """
    if path.suffix == ".json":
        return [LabeledSet(images=_images_of(path), coco=path)]
    if not path.is_dir():
        return list(load_labeled_sets(path).values())
    if (path / "annotations" / "instances.json").is_file():
        return [LabeledSet(images=path / "images", coco=path / "annotations" / "instances.json")]
    if (path / "masks").is_dir() and (path / "images").is_dir():
        return [LabeledSet(images=path / "images", masks=path / "masks")]
    if (path / "data.yaml").is_file():
        raise ConfigError(f"data set {path} is in YOLO's format: export it again with `maskmill export coco`")
    return []


def _images_of(coco: Path) -> Path:
    """Return the folder of a COCO file's images: `../NAME` of `instances_NAME.json`, `images` near it, or its own."""
    name = coco.stem.removeprefix("instances_").removeprefix("person_keypoints_")
    candidates = (coco.parent.parent / name, coco.parent / "images", coco.parent.parent / "images")
    return next((folder for folder in candidates if folder.is_dir()), coco.parent)


def read_dataset(
    path: Path, teacher: Segmenter | None, count: int, data: TrainingData
) -> tuple[list[Cutout], list[Path]]:
    """Return up to `count` cut-outs, and the images they come from if these can be backgrounds."""
    sets = find_labeled_sets(path)
    if not sets:
        return _read_cutouts(path, count, data), []
    labeled = [image for one in sets for image in read_labeled(one)]
    cutouts = list(_cut_out_all(labeled, teacher, count, data))
    if not cutouts:
        raise ConfigError(
            f"data set {path} has no person of at least 90 px height with a mask away from the borders: "
            "name another one"
        )
    return cutouts, [image.path for image in labeled]


def _read_cutouts(path: Path, count: int, data: TrainingData) -> list[Cutout]:
    images = images_in(path)
    if not images:
        raise ConfigError(
            f"data set {path} has neither a COCO or mask export of maskmill nor PNG cut-outs: name a YAML "
            "file of labeled sets, an exported folder, or a folder of PNG files with transparency"
        )
    cutouts: list[Cutout] = []
    for image in spread(images, count):
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
    for image, mask in spread(usable, count):
        by_image.setdefault(image.path, (image, []))[1].append(mask)
    for batch in batched(read_images(by_image.values(), data), BATCH):
        frames = [Frame("", None, rgb, index=number) for number, (rgb, _) in enumerate(batch)]
        found = teacher.segment(frames) if teacher else [[] for _ in frames]
        for (rgb, masks), people in zip(batch, found, strict=True):
            yield from (cut_out(rgb, mask, find_keypoints(mask, people)) for mask in masks)


def read_images(
    images: Iterable[tuple[LabeledImage, list[Mask]]], data: TrainingData
) -> Iterator[tuple[RgbImage, list[Mask]]]:
    """Yield the images that can be read; the others are recorded."""
    for image, masks in images:
        with recorded(str(image.path), data):
            rgb = read_image(image.path)
            image.check_size((rgb.shape[0], rgb.shape[1]))
            yield rgb, masks


def read_image_folders(folders: Sequence[Path], data: TrainingData) -> list[Path]:
    """Return the images of folders of backgrounds; a folder without any is recorded."""
    paths: list[Path] = []
    for folder in folders:
        with recorded(str(folder), data):
            if not (images := images_in(folder)):
                raise ConfigError(f"backgrounds {folder}: no image in it; name a folder of images")
            paths += images
    return paths


def render_rooms() -> list[RgbImage]:
    """Return rendered empty rooms."""
    rooms = (draw_room(ROOM_HW, seed).backdrop for seed in range(ROOMS))
    return [np.clip(room, 0, 255).astype(np.uint8) for room in rooms]


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order of their names; none if it is not a folder."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: check the path")
    images = (path for path in folder.iterdir() if is_image_name(path.name))
    return sorted(images, key=lambda path: natural_order(path.name))


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return `count` items at equal distances, or all.

    >>> spread([0, 1, 2, 3, 4], 2)
    [0, 2]
    """
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]
