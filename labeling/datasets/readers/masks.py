"""Masks that others made, as instances: label images (PNG) and COCO's JSON records."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pycocotools import mask as coco_mask

from labeling.errors import ModelOutputWrong
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.structures.probability_maps import make_instance

PERSON_ID = 1
"""COCO's category, where a file does not name its own."""
VOID = 255
"""Beside other values: a border that nobody decided on (Pascal VOC, DAVIS). Alone: the one mask."""
MOST_LABELS = 64
"""More values than this in one image are levels of gray, not instances."""
_VALUES = {"1", "L", "P", "I;16", "I;16B", "I;16L", "I"}


def read_label_png(png: bytes, size_hw: tuple[int, int], *, origin: str) -> list[Instance]:
    """One instance of score 1 per value of a label image, in the order of values; 0 is nobody.

    A palette's indices, 8 or 16 bits of gray, or equal channels are values; an image of 0 and 255 is
    one mask; 255 beside other values is left out. `origin` names the image in errors.

    Raises:
        ModelOutputWrong: no image, another size, colors, or levels of gray instead of labels.
    """
    labels = _read_values(png, size_hw, origin)
    values = [int(value) for value in np.unique(labels) if value]
    if len(values) > MOST_LABELS:
        raise ModelOutputWrong(
            f"{origin}: {len(values)} different values; a label image has one value per person, at most "
            f"{MOST_LABELS}: a map of probabilities must be thresholded first"
        )
    if len(values) > 1:
        values = [value for value in values if value != VOID]
    masks = Mask.from_stack(np.stack([labels == value for value in values])) if values else []
    return [Instance(mask, 1.0, mask.box_xywh) for mask in masks]


def read_probability_png(
    png: bytes, size_hw: tuple[int, int], *, mask_threshold: float, origin: str
) -> list[Instance]:
    """One instance from an 8-bit map of probabilities (255 is 1); its score is their mean inside.

    Raises:
        ModelOutputWrong: no image, another size, or not 8 bits of gray.
    """
    levels = _read_values(png, size_hw, origin)
    if levels.dtype != np.uint8:
        raise ModelOutputWrong(f"{origin}: a map of probabilities has 8 bits, this one {levels.dtype}")
    probability = levels / np.float32(255)
    inside = probability > mask_threshold
    return [make_instance(inside, probability[inside], mask_threshold=mask_threshold)] if inside.any() else []


def _read_values(png: bytes, size_hw: tuple[int, int], origin: str) -> NDArray[Any]:
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            check_size((image.height, image.width), size_hw, origin)
            values, mode = np.asarray(image), image.mode
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as exc:
        raise ModelOutputWrong(f"{origin}: not a PNG image that can be read: {exc}") from exc
    if mode in _VALUES:
        return values
    channels = values[..., :1] if mode == "LA" else values[..., :3]
    if not (channels == channels[..., :1]).all():
        raise ModelOutputWrong(f"{origin}: a colored image ({mode}); a mask has one value per pixel")
    return np.asarray(channels[..., 0])


def check_size(size_hw: tuple[int, int], wanted_hw: tuple[int, int], origin: str) -> None:
    """Raises `ModelOutputWrong`, naming both sizes, unless they are equal."""
    if size_hw != wanted_hw:
        raise ModelOutputWrong(
            f"{origin}: the mask is {size_hw[1]}x{size_hw[0]} px, its frame {wanted_hw[1]}x{wanted_hw[0]}; "
            "make masks in the frame's size"
        )


def person_ids(categories: Iterable[Any]) -> frozenset[int]:
    """Ids of the categories named `person`; COCO's 1 where none is."""
    named = {c.get("id") for c in categories if isinstance(c, Mapping) and c.get("name") == "person"}
    return frozenset(i for i in named if isinstance(i, int)) or frozenset({PERSON_ID})


def is_person(record: Mapping[str, Any], people: frozenset[int]) -> bool:
    """Whether a record is of one of these categories; one without a category is."""
    return record.get("category_id", min(people)) in [*people]


def read_coco_records(
    records: Sequence[Any],
    size_hw: tuple[int, int],
    *,
    origin: str,
    people: frozenset[int] = frozenset({PERSON_ID}),
) -> list[Instance]:
    """Instances of COCO results or annotations of one image; a record without a score has 1.

    Records of other categories, crowds (`iscrowd`) and empty masks are left out.

    Raises:
        ModelOutputWrong: a record without a readable segmentation of the frame's size, or with a
            score outside [0, 1].
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
            found.append(Instance(mask, _read_score(record, name), mask.box_xywh))
    return found


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
    raise ModelOutputWrong(f"{origin}: no segmentation; wants an RLE or a list of polygons")


def _fill_polygons(polygons: list[Any], size_hw: tuple[int, int]) -> Mask:
    """Union of polygons [x0, y0, x1, y1, ...] in pixels, as pycocotools fills them."""
    outlines = [[float(value) for value in polygon] for polygon in polygons]
    if any(len(outline) < 6 or len(outline) % 2 for outline in outlines):  # noqa: PLR2004 - three points
        raise ValueError("a polygon needs x, y of at least three points")
    if not np.isfinite(np.concatenate([*outlines, np.zeros(1)])).all():
        raise ValueError("a polygon's coordinates must be finite")
    if not outlines:
        return Mask.empty(size_hw)
    return Mask.from_coco(coco_mask.merge(coco_mask.frPyObjects(outlines, *size_hw)))
