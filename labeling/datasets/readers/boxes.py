"""People of whom only a box is known, as COCO files for detection and tracking have them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labeling.datasets.readers.masks import read_coco_records
from labeling.errors import ModelOutputWrong
from labeling.structures.masks import BoxXywh, Mask

_SIDES = 4
BIGGEST_LENGTH = 1e9
"""Pixels; no image has as many, and a double knows them all."""


def has_outline(record: Mapping[str, Any]) -> bool:
    """Whether an annotation says more than a box: `segmentation` is there, and not an empty list or object."""
    segmentation = record.get("segmentation")
    return any(segmentation) if isinstance(segmentation, list) else bool(segmentation)


def read_boxes(
    records: Sequence[Mapping[str, Any]], size_hw: tuple[int, int], *, origin: str, people: frozenset[int]
) -> list[BoxXywh | None]:
    """A box of each annotated person in pixels: tight round the mask where there is one, else `bbox`.

    None: it has no pixel in the image. `people` are the categories of people.

    Raises:
        ModelOutputWrong: a record that can be read as neither.
    """
    boxes: list[BoxXywh | None] = []
    for record in records:
        name = name_annotation(record, origin)
        if has_outline(record):
            found = read_coco_records([record], size_hw, origin=name, people=people)
            boxes.append(found[0].mask.box_xywh if found else None)
        else:
            box = _read_box(record, name)
            boxes.append(box if fill_box(box, size_hw) else None)
    return boxes


def read_region(
    record: Mapping[str, Any], size_hw: tuple[int, int], *, origin: str, people: frozenset[int]
) -> Mask:
    """The pixels of a crowd: a region of which nothing is known may be a box.

    Raises:
        ModelOutputWrong: a record that can be read as neither mask nor box.
    """
    name = name_annotation(record, origin)
    if not has_outline(record):
        return fill_box(_read_box(record, name), size_hw)
    found = read_coco_records([{**record, "iscrowd": 0}], size_hw, origin=name, people=people)
    return found[0].mask if found else Mask.empty(size_hw)


def fill_box(box_xywh: BoxXywh, size_hw: tuple[int, int]) -> Mask:
    """The image's pixels in a box, its edges rounded."""
    x, y, w, h = box_xywh
    pixels = np.zeros(size_hw, dtype=np.bool_)
    left, top, right, bottom = (max(0, round(edge)) for edge in (x, y, x + w, y + h))
    pixels[top:bottom, left:right] = True
    return Mask.from_array(pixels)


def name_annotation(record: Mapping[str, Any], origin: str) -> str:
    return f"{origin}, annotation {record.get('id')!r}"


def _read_box(record: Mapping[str, Any], name: str) -> BoxXywh:
    box = record.get("bbox")
    if box is None:
        raise ModelOutputWrong(f"{name}: neither a segmentation nor a bbox")
    if not isinstance(box, list) or len(box) != _SIDES or not all(map(_is_length, box)) or min(box[2:]) < 0:
        raise ModelOutputWrong(f"{name}: bbox {box!r} is not x, y, width and height in pixels")
    x, y, w, h = (float(side) for side in box)
    return x, y, w, h


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < BIGGEST_LENGTH
