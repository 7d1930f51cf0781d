"""Ground truth: labeled images from COCO files, and from PNG masks of PennFudan, DAVIS and CDnet."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import ConfigError, ModelOutputWrong
from configs.ground_truth import LabeledSet
from labeling.datasets.readers.coco import read_coco_file
from labeling.datasets.readers.masks import read_values, split_labels
from labeling.evaluation.frames import LabeledImage
from labeling.sources.file_types import is_image_name, natural_order
from labeling.structures.images import IMAGE_FORMATS
from labeling.structures.masks import BoolArray, Mask, union_masks

MOVING = 255
"""CDnet's foreground."""
UNDECIDED = (85, 170)
"""CDnet's outside of the region of interest, and border of what moves."""
_CDNET_NAME = re.compile(r"in(\d+)")


def read_labeled(labeled: LabeledSet) -> list[LabeledImage]:
    """Return the labeled images of a set, in natural order of their names.

    Images without a mask, or completely ignored ones, are left out.

    Raises:
        ConfigError: a folder or file is missing or unreadable, or no image is labeled.
    """
    if not labeled.images.is_dir():
        raise ConfigError(f"images: {labeled.images} is not a folder")
    try:
        found = list(_read_coco(labeled, labeled.coco) if labeled.coco else _read_masks(labeled))
        outside = Mask.from_array(~read_roi(labeled.roi)) if labeled.roi else None
    except ModelOutputWrong as exc:
        raise ConfigError(f"ground truth: {exc}") from exc
    if not found:
        raise ConfigError(
            f"ground truth: no image in {labeled.images} is labeled; check the paths of the set"
        )
    found = [replace(image, is_partial=labeled.partial) for image in found[:: labeled.every]]
    found = _with_times(found, labeled, labeled.fps) if labeled.fps else found
    return [_ignore(image, outside) for image in found] if outside is not None else found


def _with_times(found: Sequence[LabeledImage], labeled: LabeledSet, fps: float) -> list[LabeledImage]:
    """Set times by the positions among all images of the folder, labeled or not."""
    folders = {image.path.parent for image in found}
    if len(folders) > 1:
        raise ConfigError(
            f"fps: the images of {labeled.images} are in {len(folders)} folders; put those of a shot into one"
        )
    frames = _images_in(folders.pop())
    times = {path.resolve(): round(1000 * position / fps) for position, path in enumerate(frames)}
    return [_at(image, times.get(image.path.resolve())) for image in found]


def _at(image: LabeledImage, pts_ms: int | None) -> LabeledImage:
    return replace(image, pts_ms=pts_ms, moment=None if pts_ms is None else ("", pts_ms))


def _images_in(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order of their names."""
    images = (path for path in folder.iterdir() if is_image_name(path.name))
    return sorted(images, key=lambda path: natural_order(path.name))


def _read_coco(labeled: LabeledSet, coco: Path) -> Iterator[LabeledImage]:
    for image in sorted(read_coco_file(coco), key=lambda image: natural_order(image.file_name)):
        path = (labeled.images / image.file_name).resolve()
        if not path.is_relative_to(labeled.images.resolve()):
            raise ConfigError(f"coco: {image.file_name!r} is outside {labeled.images}: refused")
        if not path.is_file():
            raise ConfigError(f"coco: image {image.file_name!r} is not in {labeled.images}")
        yield LabeledImage(
            path,
            image.size_hw,
            image.people,
            image.ignored,
            boxes=image.boxes,
            tracks=image.tracks,
            moment=image.moment,
        )


def _read_masks(labeled: LabeledSet) -> Iterator[LabeledImage]:
    folder = labeled.masks or labeled.images
    if not folder.is_dir():
        raise ConfigError(f"masks: {folder} is not a folder")
    masks = [(path, mask) for path in _images_in(labeled.images) if (mask := _find_mask(folder, path.stem))]
    if not masks:
        raise ConfigError(
            f"masks: no image in {labeled.images} has a mask in {folder}; name the mask of NAME.jpg NAME.png "
            "or NAME_mask.png, that of in0001.jpg gt0001.png"
        )
    for path, mask in masks:
        image = _read_mask(path, mask, is_cdnet=labeled.mask_encoding == "cdnet")
        if image.ignored.area_px < image.size_hw[0] * image.size_hw[1]:
            yield image


def _find_mask(folder: Path, stem: str) -> Path | None:
    cdnet = _CDNET_NAME.fullmatch(stem)
    names = [f"{stem}.png", f"{stem}_mask.png", *([f"gt{cdnet[1]}.png"] if cdnet else [])]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_mask(path: Path, mask: Path, *, is_cdnet: bool) -> LabeledImage:
    values = _read_image(mask)
    size_hw = (values.shape[0], values.shape[1])
    if is_cdnet:
        moving = Mask.from_array(values == MOVING)
        people = (moving,) if moving else ()
        ignored = Mask.from_array(np.isin(values, UNDECIDED))
        return LabeledImage(path, size_hw, people, ignored, is_joined=True)
    instances = split_labels(values, origin=str(mask))
    return LabeledImage(path, size_hw, tuple(instance.mask for instance in instances), Mask.empty(size_hw))


def _read_image(path: Path) -> NDArray[Any]:
    try:
        return read_values(path.read_bytes(), origin=str(path))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc


def read_roi(path: Path) -> BoolArray:
    """Return the pixels of an image that are not black, HxW; a palette's colors count, not its indices.

    Raises:
        ConfigError: the image cannot be read.
    """
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            inside: BoolArray = np.asarray(image.convert("L")) > 0
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise ConfigError(f"roi: {path} cannot be read as an image: {exc}; check the path") from exc
    return inside


def _ignore(image: LabeledImage, outside: Mask) -> LabeledImage:
    if outside.size_hw != image.size_hw:
        raise ConfigError(f"roi: {outside.size_hw} (height, width), image {image.name} {image.size_hw}")
    ignored = union_masks([image.ignored, outside], image.size_hw)
    return replace(image, ignored=ignored)
