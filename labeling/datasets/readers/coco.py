"""COCO files as ground truth, with masks, or with boxes only as files for detection and tracking have."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import ModelOutputWrong
from labeling.datasets.readers.masks import is_person, person_ids, read_coco_records
from labeling.structures.masks import BoxXywh, Mask, union_masks

_SIDES = 4
BIGGEST_LENGTH = 1e9
"""Pixels; no image is as large, and a double holds all such numbers exactly."""


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image of a COCO file with its people."""

    file_name: str
    size_hw: tuple[int, int]
    people: tuple[Mask, ...]
    boxes: tuple[BoxXywh, ...] | None
    """One box per person if not all have a mask, which leaves `people` empty; None: all have."""
    ignored: Mask
    """Crowds."""
    tracks: tuple[str | None, ...]
    """`track_id` of each person; with `VIDEO/` before it if the image has a `video_id`."""


def read_coco_file(path: Path) -> Iterator[CocoImage]:
    """Yield the images of a COCO file; people are its category `person`."""
    try:
        tree = json.loads(path.read_bytes())
        images, annotations = list(tree["images"]), list(tree["annotations"])
        people = person_ids(tree.get("categories", []))
        by_image: dict[Any, list[Any]] = {}
        for record in annotations:
            by_image.setdefault(record.get("image_id"), []).append(record)
        persons = [
            annotation
            for annotation in annotations
            if is_person(annotation, people) and not annotation.get("iscrowd")
        ]
        has_masks = not persons or any(map(_has_mask, persons))
        for record in images:
            image = _read_image(path, record, by_image.get(record.get("id"), []), people)
            # in a file of boxes, the ground truth of an image without people is boxes too
            yield image if has_masks else replace(image, boxes=image.boxes or ())
    except (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise ModelOutputWrong(
            f"{path} is not a COCO file with `images` and `annotations`: {exc!r}; export it again as COCO"
        ) from exc


def _read_image(
    path: Path, record: Mapping[str, Any], records: Sequence[Any], people: frozenset[int]
) -> CocoImage:
    name, size_hw = str(record.get("file_name")), (int(record["height"]), int(record["width"]))
    origin = f"{path}, image {name!r}"
    records = [annotation for annotation in records if is_person(annotation, people)]
    crowds = [annotation for annotation in records if annotation.get("iscrowd")]
    persons = [annotation for annotation in records if not annotation.get("iscrowd")]
    masks: tuple[Mask, ...] = ()
    boxes: tuple[BoxXywh, ...] | None = None
    if all(map(_has_mask, persons)):
        found_masks = [_read_region(person, size_hw, origin, people) for person in persons]
        persons = [person for person, mask in zip(persons, found_masks, strict=True) if mask]
        masks = tuple(filter(None, found_masks))
    else:
        found_boxes = [_read_person_box(person, size_hw, origin, people) for person in persons]
        persons = [person for person, box in zip(persons, found_boxes, strict=True) if box]
        boxes = tuple(filter(None, found_boxes))
    ignored = union_masks([_read_region(crowd, size_hw, origin, people) for crowd in crowds], size_hw)
    # some files count tracks per video
    video = "" if record.get("video_id") is None else f"{record['video_id']}/"
    ids = [person.get("track_id") for person in persons]
    tracks = tuple(None if number is None else f"{video}{number}" for number in ids)
    return CocoImage(name, size_hw, masks, boxes, ignored, tracks)


def fill_box(box_xywh: BoxXywh, size_hw: tuple[int, int]) -> Mask:
    """Return the image's pixels in a box with rounded edges."""
    x, y, w, h = box_xywh
    pixels = np.zeros(size_hw, dtype=np.bool_)
    left, top, right, bottom = (max(0, round(edge)) for edge in (x, y, x + w, y + h))
    pixels[top:bottom, left:right] = True
    return Mask.from_array(pixels)


def _has_mask(record: Mapping[str, Any]) -> bool:
    """Return whether the annotation has a `segmentation` that is not empty."""
    segmentation = record.get("segmentation")
    return any(segmentation) if isinstance(segmentation, list) else bool(segmentation)


def _read_region(
    record: Mapping[str, Any], size_hw: tuple[int, int], origin: str, people: frozenset[int]
) -> Mask:
    """Return the pixels of a person or a crowd, from its mask or its box."""
    name = f"{origin}, annotation {record.get('id')!r}"
    if not _has_mask(record):
        return fill_box(_read_box(record, name), size_hw)
    found = read_coco_records([{**record, "iscrowd": 0}], size_hw, origin=name, people=people)
    return found[0].mask if found else Mask.empty(size_hw)


def _read_person_box(
    record: Mapping[str, Any], size_hw: tuple[int, int], origin: str, people: frozenset[int]
) -> BoxXywh | None:
    """Return the tight box of the mask, or else `bbox`; None: no pixel of it is in the image."""
    region = _read_region(record, size_hw, origin, people)
    if not region:
        return None
    return region.box_xywh if _has_mask(record) else _read_box(record, origin)


def _read_box(record: Mapping[str, Any], name: str) -> BoxXywh:
    box = record.get("bbox")
    if box is None:
        raise ModelOutputWrong(f"{name}: neither a segmentation nor a bbox; add one")
    if not isinstance(box, list) or len(box) != _SIDES or not all(map(_is_length, box)) or min(box[2:]) < 0:
        raise ModelOutputWrong(f"{name}: bbox {box!r} is not x, y, width and height in pixels")
    x, y, w, h = (float(side) for side in box)
    return x, y, w, h


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < BIGGEST_LENGTH
