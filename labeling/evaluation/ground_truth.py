"""Ground truth: labeled images from COCO files, and from PNG masks of PennFudan, DAVIS and CDnet."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from configs.errors import ConfigError, ModelOutputWrong
from configs.ground_truth import LabeledSet
from labeling.datasets.readers.coco import read_coco_file, upright_size
from labeling.datasets.readers.inverted import CHECKED_MASKS, refuse_inverted
from labeling.datasets.readers.label_images import read_label_image
from labeling.datasets.readers.mask_names import find_mask, name_examples
from labeling.datasets.readers.masks import read_values, split_labels
from labeling.datasets.readers.notes import ReaderNotes
from labeling.evaluation.frames import LabeledImage
from labeling.sources.file_types import is_image_name, natural_order
from labeling.structures.images import open_image
from labeling.structures.masks import BoolArray, Mask, union_masks

MOVING = 255
"""CDnet's foreground."""
UNDECIDED = (85, 170)
"""CDnet's outside of the region of interest, and border of what moves."""
_CDNET_NAME = re.compile(r"in(\d+)")


def read_labeled(labeled: LabeledSet, *, notes: ReaderNotes | None = None) -> list[LabeledImage]:
    """Return the labeled images of a set, in natural order of their names.

    Images without a mask, or completely ignored ones, are left out. `notes` collects what was left out of a COCO file,
    and how mask images were read.

    Raises:
        ConfigError: a folder or file is missing or unreadable, or no image is labeled.
    """
    if not labeled.images.is_dir():
        raise ConfigError(f"images: {labeled.images} is not a folder")
    notes = ReaderNotes() if notes is None else notes
    try:
        found = list(
            _read_coco(labeled, labeled.coco, notes) if labeled.coco else _read_masks(labeled, notes)
        )
        outside = Mask.from_array(~read_roi(labeled.roi)) if labeled.roi else None
    except ModelOutputWrong as exc:
        raise ConfigError(f"ground truth: {exc}") from exc
    if not found:
        reasons = "".join(f"; {line}" for line in notes.lines())
        raise ConfigError(
            f"ground truth: no image in {labeled.images} is labeled; check the paths of the set{reasons}"
        )
    found = [
        replace(image, is_partial=labeled.partial, is_synthetic=labeled.synthetic)
        for image in found[:: labeled.every]
    ]
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


def _read_coco(labeled: LabeledSet, coco: Path, notes: ReaderNotes) -> Iterator[LabeledImage]:
    images = read_coco_file(coco, images=labeled.images, person_category=labeled.person_category, notes=notes)
    for image in sorted(images, key=lambda image: natural_order(image.file_name)):
        if image.path is not None:
            yield LabeledImage(
                image.path.resolve(),
                image.size_hw,
                image.people,
                image.ignored,
                boxes=image.boxes,
                tracks=image.tracks,
                moment=image.moment,
            )


def _read_masks(labeled: LabeledSet, notes: ReaderNotes) -> Iterator[LabeledImage]:
    folder = labeled.masks or labeled.images
    if not folder.is_dir():
        raise ConfigError(f"masks: {folder} is not a folder")
    images = _images_in(labeled.images)
    masks = [(path, mask) for path in images if (mask := _find_mask(folder, path))]
    if not masks:
        raise ConfigError(
            f"masks: no image in {labeled.images} has a mask in {folder} (images: "
            f"{name_examples(path.name for path in images)}; there: {name_examples(_names_in(folder))}); name the mask "
            "of NAME.jpg NAME.png or NAME_mask.png, that of in0001.jpg gt0001.png"
        )
    if labeled.mask_encoding != "cdnet":
        refuse_inverted([mask for _, mask in masks[:CHECKED_MASKS]], origin=f"masks: {folder}")
    for path, mask in masks:
        image = _read_mask(path, mask, is_cdnet=labeled.mask_encoding == "cdnet", notes=notes)
        if upright_hw := upright_size(path):
            image.check_size(upright_hw)
        if image.ignored.area_px < image.size_hw[0] * image.size_hw[1]:
            yield image


def _names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _find_mask(folder: Path, image: Path) -> Path | None:
    cdnet = _CDNET_NAME.fullmatch(image.stem)
    numbered = folder / f"gt{cdnet[1]}.png" if cdnet else None
    found = find_mask(folder, image.name)
    if found is not None and found.resolve() != image.resolve():
        return found
    return numbered if numbered and numbered.is_file() else None


def _read_mask(path: Path, mask: Path, *, is_cdnet: bool, notes: ReaderNotes) -> LabeledImage:
    content = _read_bytes(mask)
    if is_cdnet:
        values = read_values(content, origin=str(mask))
        moving = Mask.from_array(values == MOVING)
        joined = (moving,) if moving else ()
        ignored = Mask.from_array(np.isin(values, UNDECIDED))
        return LabeledImage(path, (values.shape[0], values.shape[1]), joined, ignored, is_joined=True)
    image = read_label_image(content, origin=str(mask))
    if image.is_special:
        notes.add(f"masks read as {image.kind}", str(mask))
    size_hw = (image.labels.shape[0], image.labels.shape[1])
    people = tuple(instance.mask for instance in split_labels(image.labels))
    return LabeledImage(path, size_hw, people, Mask.empty(size_hw))


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc


def read_roi(path: Path) -> BoolArray:
    """Return the pixels of an image that are not black, HxW; a palette's colors count, not its indices.

    Raises:
        ConfigError: the image cannot be read.
    """
    try:
        with open_image(path) as image:
            inside: BoolArray = np.asarray(image.convert("L")) > 0
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise ConfigError(f"roi: {path} cannot be read as an image: {exc}; check the path") from exc
    return inside


def _ignore(image: LabeledImage, outside: Mask) -> LabeledImage:
    if outside.size_hw != image.size_hw:
        raise ConfigError(f"roi: {outside.size_hw} (height, width), image {image.name} {image.size_hw}")
    ignored = union_masks([image.ignored, outside], image.size_hw)
    return replace(image, ignored=ignored)
