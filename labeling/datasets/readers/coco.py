"""COCO annotations: records as instances, and files as ground truth, with masks or only with boxes."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from configs.errors import ModelOutputWrong
from labeling.structures.instances import COCO_KEYPOINTS, Instance, Keypoints
from labeling.structures.masks import BoxXywh, Mask, check_size, fill_box, union_masks

PERSON_ID = 1
"""COCO's category, for a file without categories."""
_SIDES = 4
_PER_KEYPOINT = 3
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
    moment: tuple[str, int] | None = None
    """`video_id` and `t_ms` (time in ms), if the image has both, as `maskmill export coco` writes them."""


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
    return CocoImage(name, size_hw, masks, boxes, ignored, tracks, _read_moment(record))


def _read_moment(record: Mapping[str, Any]) -> tuple[str, int] | None:
    video, time_ms = record.get("video_id"), record.get("t_ms")
    is_time = isinstance(time_ms, int) and not isinstance(time_ms, bool)
    return None if video is None or not is_time else (str(video), int(time_ms or 0))


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


def person_ids(categories: Iterable[Any]) -> frozenset[int]:
    """Return the ids of the categories named `person`, or COCO's 1 if there is none."""
    named = {c.get("id") for c in categories if isinstance(c, Mapping) and c.get("name") == "person"}
    return frozenset(i for i in named if isinstance(i, int)) or frozenset({PERSON_ID})


def is_person(record: Mapping[str, Any], people: frozenset[int]) -> bool:
    """Return whether a record is of one of these categories, or of none."""
    return record.get("category_id", min(people)) in [*people]


def read_coco_records(
    records: Sequence[Any],
    size_hw: tuple[int, int],
    *,
    origin: str,
    people: frozenset[int] = frozenset({PERSON_ID}),
) -> list[Instance]:
    """Return the instances of one image's COCO results or annotations; the default score is 1.

    Records of other categories, crowds (`iscrowd`) and empty masks are left out. A visibility of 1 or 2 is a
    confidence of 1; a fraction is a confidence.
    """
    found = []
    for number, record in enumerate(records):
        name = f"{origin}, record {number}"
        if not isinstance(record, Mapping):
            raise ModelOutputWrong(f"{name}: a COCO record is an object, this is {type(record).__name__}")
        if not is_person(record, people) or record.get("iscrowd"):
            continue
        mask = _read_segmentation(record.get("segmentation"), size_hw, name)
        if mask:
            keypoints = _read_keypoints(record, name)
            found.append(Instance(mask, _read_score(record, name), mask.box_xywh, keypoints))
    return found


def _read_keypoints(record: Mapping[str, Any], origin: str) -> Keypoints | None:
    """Return COCO's 17 keypoints; None without any, or for another number of them."""
    values = record.get("keypoints")
    if not isinstance(values, list) or len(values) != _PER_KEYPOINT * len(COCO_KEYPOINTS):
        return None
    try:
        points = np.asarray(values, dtype=np.float64).reshape(-1, _PER_KEYPOINT)
    except (TypeError, ValueError) as exc:
        raise ModelOutputWrong(f"{origin}: keypoints are not numbers: {exc}") from exc
    if not np.isfinite(points).all():
        raise ModelOutputWrong(f"{origin}: keypoints are not finite numbers")
    return tuple((float(x), float(y), float(min(max(seen, 0.0), 1.0))) for x, y, seen in points)


def _read_score(record: Mapping[str, Any], origin: str) -> float:
    score = record.get("score", 1.0)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ModelOutputWrong(f"{origin}: score {score!r} is not a number from 0 to 1")
    return float(score)


def _read_segmentation(segmentation: Any, size_hw: tuple[int, int], origin: str) -> Mask:
    try:
        if isinstance(segmentation, Mapping):
            height, width = segmentation["size"]
            check_size((int(height), int(width)), size_hw, origin)
            return Mask.from_coco(dict(segmentation))
        if isinstance(segmentation, list):
            return _fill_polygons(segmentation, size_hw)
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise ModelOutputWrong(f"{origin}: the segmentation cannot be read: {exc!r}") from exc
    except ModelOutputWrong as exc:
        raise ModelOutputWrong(f"{origin}: {exc}" if origin not in str(exc) else str(exc)) from exc
    raise ModelOutputWrong(f"{origin}: no segmentation; add an RLE or a list of polygons")


def _fill_polygons(polygons: list[Any], size_hw: tuple[int, int]) -> Mask:
    """Return the union of polygons [x0, y0, x1, y1, ...] in pixels, as pycocotools fills them."""
    outlines = [[float(value) for value in polygon] for polygon in polygons]
    if any(len(outline) < 6 or len(outline) % 2 for outline in outlines):  # noqa: PLR2004 - three points
        raise ValueError("a polygon needs x, y of at least three points")
    if not np.isfinite(np.concatenate([*outlines, np.zeros(1)])).all():
        raise ValueError("a polygon's coordinates must be finite")
    if not outlines:
        return Mask.empty(size_hw)
    return Mask.from_coco(coco_mask.merge(coco_mask.frPyObjects(outlines, *size_hw)))
