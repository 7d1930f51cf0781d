"""Reading ground truth: COCO files, and PNG masks as PennFudan, DAVIS and CDnet write them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from configs.errors import ConfigError
from configs.ground_truth import LabeledSet
from labeling.datasets.readers.boxes import has_outline, read_boxes, read_region
from labeling.datasets.readers.masks import is_person, person_ids, read_label_png
from labeling.errors import ModelOutputWrong
from labeling.sources.file_types import is_image_name, natural_order
from labeling.structures.masks import BoxXywh, Mask, union_masks

MOVING = 255
"""What CDnet calls foreground."""
UNDECIDED = (85, 170)
"""CDnet: outside the region of interest, and the border of what moves."""
_CDNET_NAME = re.compile(r"in(\d+)")


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """An image, and where its people are."""

    path: Path
    size_hw: tuple[int, int]
    people: tuple[Mask, ...]
    """One mask a person; one for everybody, where the truth does not tell them apart."""
    ignored: Mask
    """Pixels of which nothing is known."""
    is_partial: bool = False
    """There may be more people."""
    is_joined: bool = False
    """One mask may show several people."""
    boxes: tuple[BoxXywh, ...] | None = None
    """One box a person where not everybody has a mask, which leaves `people` empty; None: all have."""
    tracks: tuple[str | None, ...] = ()
    """Who each person is, where the truth follows them through the frames of a video, which need not be all;
    empty: it follows nobody."""
    t_ms: int | None = None
    """When it was taken, where the set's images are the frames of one shot."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def person_boxes(self) -> tuple[BoxXywh, ...]:
        """One a person: where there are masks, tight round them."""
        return tuple(one.box_xywh for one in self.people) if self.boxes is None else self.boxes


def read_labeled(labeled: LabeledSet) -> list[LabeledImage]:
    """The labeled images of a set, in natural order of their names.

    Images without a mask, or of which all is ignored, are no part of it.

    Raises:
        ConfigError: a folder or file is not there or unreadable, or not one image is labeled.
    """
    if not labeled.images.is_dir():
        raise ConfigError(f"images: {labeled.images} is no folder")
    outside = _read_roi(labeled.roi) if labeled.roi else None
    try:
        found = list(_read_coco(labeled) if labeled.coco else _read_masks(labeled))
    except ModelOutputWrong as exc:
        raise ConfigError(f"ground truth: {exc}") from exc
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise ConfigError(f"coco: {labeled.coco} is no COCO file: {exc!r} in a record") from exc
    if not found:
        raise ConfigError(f"ground truth: not one image in {labeled.images} is labeled")
    found = [replace(one, is_partial=labeled.partial) for one in found[:: labeled.every]]
    found = _give_times(found, labeled) if labeled.fps else found
    return [_ignore(one, outside) for one in found] if outside is not None else found


def _give_times(found: Sequence[LabeledImage], labeled: LabeledSet) -> list[LabeledImage]:
    """By their places among all images beside them, labeled or not."""
    fps = labeled.fps or 1.0
    folders = {one.path.parent for one in found}
    if len(folders) > 1:
        raise ConfigError(
            f"fps: the images of {labeled.images} lie in {len(folders)} folders, a shot's in one"
        )
    frames = _images_in(folders.pop())
    times = {path.resolve(): round(1000 * place / fps) for place, path in enumerate(frames)}
    return [replace(one, t_ms=times.get(one.path.resolve())) for one in found]


def _images_in(folder: Path) -> list[Path]:
    """In natural order of their names."""
    return sorted((path for path in folder.iterdir() if is_image_name(path.name)), key=_in_order)


def _read_coco(labeled: LabeledSet) -> Iterator[LabeledImage]:
    path = labeled.coco
    try:
        tree = json.loads(path.read_bytes()) if path else {}
        images, annotations = list(tree["images"]), list(tree["annotations"])
        people = person_ids(tree.get("categories", []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ConfigError(f"coco: {path} is no COCO file with `images` and `annotations`: {exc!r}") from exc
    by_image: dict[Any, list[Any]] = {}
    for record in annotations:
        by_image.setdefault(record.get("image_id"), []).append(record)
    persons = [one for one in annotations if is_person(one, people) and not one.get("iscrowd")]
    knows_masks = not persons or any(map(has_outline, persons))
    for record in sorted(images, key=lambda record: natural_order(str(record.get("file_name")))):
        one = _coco_image(labeled, record, by_image.get(record.get("id"), []), people)
        # in a file of boxes, an image with nobody in it is known by boxes too
        yield one if knows_masks else replace(one, boxes=one.boxes or ())


def _coco_image(
    labeled: LabeledSet, record: Mapping[str, Any], records: list[Any], people: frozenset[int]
) -> LabeledImage:
    name, size_hw = str(record.get("file_name")), (int(record["height"]), int(record["width"]))
    path = (labeled.images / name).resolve()
    if not path.is_relative_to(labeled.images.resolve()):
        raise ConfigError(f"coco: {name!r} leads out of {labeled.images}: refused")
    if not path.is_file():
        raise ConfigError(f"coco: image {name!r} is not in {labeled.images}")
    origin = f"{labeled.coco}, image {name!r}"
    persons = [one for one in records if is_person(one, people)]
    crowds = [one for one in persons if one.get("iscrowd")]
    persons = [one for one in persons if not one.get("iscrowd")]
    seen: tuple[Mask, ...] = ()
    boxes = None
    if all(has_outline(one) for one in persons):
        masks = [read_region(one, size_hw, origin=origin, people=people) for one in persons]
        persons = [one for one, mask in zip(persons, masks, strict=True) if mask]
        seen = tuple(filter(None, masks))
    else:
        found_boxes = read_boxes(persons, size_hw, origin=origin, people=people)
        persons = [one for one, box in zip(persons, found_boxes, strict=True) if box]
        boxes = tuple(filter(None, found_boxes))
    ignored = [read_region(one, size_hw, origin=origin, people=people) for one in crowds]
    return LabeledImage(
        path,
        size_hw,
        seen,
        union_masks(ignored, size_hw),
        boxes=boxes,
        tracks=_read_tracks(persons, record.get("video_id")),
    )


def _read_tracks(persons: list[Any], video_id: object) -> tuple[str | None, ...]:
    """Their `track_id`s; some files count them anew in each video."""
    of_video = "" if video_id is None else f"{video_id}/"
    tracks = (one.get("track_id") for one in persons)
    return tuple(None if track is None else f"{of_video}{track}" for track in tracks)


def _read_masks(labeled: LabeledSet) -> Iterator[LabeledImage]:
    folder = labeled.masks or labeled.images
    if not folder.is_dir():
        raise ConfigError(f"masks: {folder} is no folder")
    masks = [(path, mask) for path in _images_in(labeled.images) if (mask := _find_mask(folder, path.stem))]
    if not masks:
        raise ConfigError(
            f"masks: no image in {labeled.images} has a mask in {folder}; for NAME.jpg it is NAME.png, "
            "NAME_mask.png, or gt0001.png for in0001.jpg"
        )
    for path, mask in masks:
        image = _mask_image(path, mask, labeled.codes)
        if image.ignored.area_px < image.size_hw[0] * image.size_hw[1]:
            yield image


def _in_order(path: Path) -> Any:
    return natural_order(path.name)


def _find_mask(folder: Path, stem: str) -> Path | None:
    cdnet = _CDNET_NAME.fullmatch(stem)
    names = [f"{stem}.png", f"{stem}_mask.png", *([f"gt{cdnet[1]}.png"] if cdnet else [])]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _mask_image(path: Path, mask: Path, codes: str) -> LabeledImage:
    values = _read_values(mask)
    size_hw = (values.shape[0], values.shape[1])
    if codes == "cdnet":
        moving = Mask.from_array(values == MOVING)
        people = (moving,) if moving else ()
        ignored = Mask.from_array(np.isin(values, UNDECIDED))
        return LabeledImage(path, size_hw, people, ignored, is_joined=True)
    seen = read_label_png(mask.read_bytes(), size_hw, origin=str(mask))
    return LabeledImage(path, size_hw, tuple(one.mask for one in seen), Mask.empty(size_hw))


def _read_roi(path: Path) -> Mask:
    """What lies outside."""
    return Mask.from_array(_read_values(path) == 0)


def _read_values(path: Path) -> NDArray[Any]:
    """The first channel, HxW; a palette's indices."""
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as exc:
        raise ConfigError(f"{path}: not an image that can be read: {exc}") from exc
    return values if values.ndim == 2 else values[..., 0]  # noqa: PLR2004 - rows and columns


def _ignore(image: LabeledImage, outside: Mask) -> LabeledImage:
    if outside.size_hw != image.size_hw:
        raise ConfigError(f"roi: {outside.size_hw} (height, width), image {image.name} {image.size_hw}")
    ignored = union_masks([image.ignored, outside], image.size_hw)
    return replace(image, ignored=ignored)
