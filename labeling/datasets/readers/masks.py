"""Masks made elsewhere, read as instances: label images (PNG) and COCO's JSON records."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pycocotools import mask as coco_mask

from configs.errors import ModelOutputWrong
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.structures.probability_maps import make_instance

PERSON_ID = 1
"""COCO's category, for a file without categories."""
VOID = 255
"""Beside other values: an undecided border (Pascal VOC, DAVIS). Alone: the one mask."""
MOST_LABELS = 64
"""With more values, the image has levels of gray instead of labels."""
_VALUES = {"1", "L", "P", "I;16", "I;16B", "I;16L", "I"}


def read_label_png(png: bytes, size_hw: tuple[int, int], *, origin: str) -> list[Instance]:
    """Return one instance of score 1 per value of a label image, in the order of values; 0 is background.

    Values are a palette's indices, 8 or 16 bits of gray, or equal channels. An image of 0 and 255 is
    one mask; 255 beside other values is left out. Errors name `origin`.
    """
    return split_labels(_read_png(png, size_hw, origin), origin=origin)


def split_labels(labels: NDArray[Any], *, origin: str) -> list[Instance]:
    """Return the instances of a label image's values, HxW, as `read_label_png` does."""
    values = [int(value) for value in np.unique(labels) if value]
    if len(values) > MOST_LABELS:
        raise ModelOutputWrong(
            f"{origin}: {len(values)} different values; a label image has one value per person, at most "
            f"{MOST_LABELS}: apply a threshold to a probability map first"
        )
    if len(values) > 1:
        values = [value for value in values if value != VOID]
    masks = Mask.from_stack(np.stack([labels == value for value in values])) if values else []
    return [Instance(mask, 1.0, mask.box_xywh) for mask in masks]


def read_probability_png(
    png: bytes, size_hw: tuple[int, int], *, mask_threshold: float, origin: str
) -> list[Instance]:
    """Return one instance from an 8-bit probability map (255 is 1); its score is the mean inside the mask."""
    levels = _read_png(png, size_hw, origin)
    if levels.dtype != np.uint8:
        raise ModelOutputWrong(f"{origin}: a probability map must have 8 bits, not {levels.dtype}")
    probability = levels / np.float32(255)
    inside = probability > mask_threshold
    return [make_instance(inside, probability[inside], mask_threshold=mask_threshold)] if inside.any() else []


def _read_png(png: bytes, size_hw: tuple[int, int], origin: str) -> NDArray[Any]:
    values = read_values(png, origin=origin, formats=("PNG",))
    check_size((values.shape[0], values.shape[1]), size_hw, origin)
    return values


def read_values(content: bytes, *, origin: str, formats: tuple[str, ...] | None = None) -> NDArray[Any]:
    """Return the values of an image with one value per pixel, HxW: palette indices, gray, or equal channels."""
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            values, mode = np.asarray(image), image.mode
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as exc:
        kind = f"{formats[0]} image" if formats else "image"
        raise ModelOutputWrong(f"{origin}: not a readable {kind}: {exc}") from exc
    if mode in _VALUES:
        return values
    channels = values[..., :1] if mode == "LA" else values[..., :3]
    if not (channels == channels[..., :1]).all():
        raise ModelOutputWrong(f"{origin}: a colored image ({mode}); a mask has one value per pixel")
    return np.asarray(channels[..., 0])


def check_size(size_hw: tuple[int, int], frame_hw: tuple[int, int], origin: str) -> None:
    """Raise `ModelOutputWrong` if a mask's size differs from its frame's."""
    if size_hw != frame_hw:
        raise ModelOutputWrong(
            f"{origin}: the mask is {size_hw[1]}x{size_hw[0]} px, its frame {frame_hw[1]}x{frame_hw[0]}; "
            "make masks in the frame's size"
        )


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

    Records of other categories, crowds (`iscrowd`) and empty masks are left out.
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
