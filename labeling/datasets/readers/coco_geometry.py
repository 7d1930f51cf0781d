"""Masks and boxes of COCO records, and whether they contradict each other or the image."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from configs.errors import AnnotationsContradict, ModelOutputWrong
from labeling.datasets.readers.notes import ReaderNotes
from labeling.structures.masks import BoxXywh, Mask, box_iou_matrix, check_size, fill_box

BIGGEST_LENGTH = 1e9
"""Pixels; no image is as large, and a double holds all such numbers exactly."""
FURTHEST_SIDES = 10
"""A coordinate further from the image's corner than so many of its longer side is no outline."""
_SIDES = 4
_FEWEST_POINTS, _FEWEST_COORDINATES = 3, 6
EDGE_PX = 2.0
"""How far coordinates may leave the image by rounding."""
_TINY_PX = 4.0
"""Regions below this area may have no pixel of their own."""
_HALF = 0.5
_SAME_BOX = 0.8


def has_mask(record: Mapping[str, Any]) -> bool:
    """Return whether the record has a `segmentation` that is not empty."""
    segmentation = record.get("segmentation")
    if isinstance(segmentation, list):
        return any(isinstance(part, int | float) or bool(part) for part in segmentation)
    return bool(segmentation)


def read_segmentation(
    segmentation: Any, size_hw: tuple[int, int], origin: str, notes: ReaderNotes | None = None
) -> Mask:
    """Return the mask of an RLE or of polygons. An RLE without `size` has that of the image, which its counts must fill.

    Raises:
        ModelOutputWrong: there is none, or it cannot be read.
    """
    try:
        if isinstance(segmentation, Mapping):
            declared_hw = _declared_size(segmentation, origin) or size_hw
            check_size(declared_hw, size_hw, origin)
            return Mask.from_coco({**segmentation, "size": list(declared_hw)})
        if isinstance(segmentation, list):
            return _fill_polygons(read_polygons(segmentation, origin, notes), size_hw)
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise ModelOutputWrong(f"{origin}: the segmentation cannot be read: {exc!r}") from exc
    except ModelOutputWrong as exc:
        raise ModelOutputWrong(f"{origin}: {exc}" if origin not in str(exc) else str(exc)) from exc
    raise ModelOutputWrong(f"{origin}: no segmentation; add an RLE or a list of polygons")


def _declared_size(segmentation: Mapping[str, Any], origin: str) -> tuple[int, int] | None:
    """Return the `size` of an RLE; None: it has none."""
    size = segmentation.get("size")
    if size is None:
        return None
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError) as exc:
        raise ModelOutputWrong(f"{origin}: the size of an RLE is [height, width], got {size!r}") from exc
    return height, width


def read_polygons(
    segmentation: list[Any], origin: str, notes: ReaderNotes | None = None
) -> list[list[float]]:
    """Return polygons as [x0, y0, x1, y1, ...]; a flat list of numbers is one polygon, and points may be pairs.

    A polygon of fewer than three points beside a complete one is dropped, and noted.
    """
    if segmentation and all(_is_number(value) for value in segmentation):
        segmentation = [segmentation]
    if segmentation and all(map(_is_pair, segmentation)) and len(segmentation) >= _FEWEST_POINTS:
        segmentation = [segmentation]  # one polygon of pairs
    outlines = [_flat_outline(polygon) for polygon in segmentation]
    if not np.isfinite(np.concatenate([*outlines, np.zeros(1)])).all():
        raise ValueError("a polygon's coordinates must be finite")
    if any(len(outline) % 2 for outline in outlines):
        raise ValueError("a polygon needs x, y of at least three points: it has an odd number of coordinates")
    complete = [outline for outline in outlines if len(outline) >= _FEWEST_COORDINATES]
    if outlines and not complete:
        raise ValueError("a polygon needs x, y of at least three points")
    for _ in range(len(outlines) - len(complete) if notes else 0):
        notes.add("polygons of fewer than three points, dropped", origin)  # type: ignore[union-attr]  # checked above
    return complete


def _flat_outline(polygon: Any) -> list[float]:
    """Return the numbers of a polygon; of pairs [x, y], in their order."""
    if isinstance(polygon, list) and polygon and all(map(_is_pair, polygon)):
        polygon = [value for point in polygon for value in point]
    if not isinstance(polygon, list | tuple) or any(isinstance(value, list | Mapping) for value in polygon):
        raise ValueError(f"a polygon is a list of numbers, x, y, x, y, ...; this one is {str(polygon)[:60]}")
    return [float(value) for value in polygon]


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == len(("x", "y")) and all(map(_is_number, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fill_polygons(outlines: list[list[float]], size_hw: tuple[int, int]) -> Mask:
    """Return the union of the polygons, as pycocotools fills them.

    It walks along each outline pixel by pixel, and takes coordinates for 32-bit integers: far ones end the process.
    """
    if not outlines:
        return Mask.empty(size_hw)
    furthest = max((abs(value) for outline in outlines for value in outline), default=0)
    if furthest > FURTHEST_SIDES * max(size_hw):
        height, width = size_hw
        raise ValueError(
            f"a polygon's coordinate of {furthest:g} is far outside the image of {width}x{height}"
        )
    return Mask.from_coco(coco_mask.merge(coco_mask.frPyObjects(outlines, *size_hw)))


def read_box(record: Mapping[str, Any], name: str) -> BoxXywh:
    """Return `bbox`.

    Raises:
        ModelOutputWrong: there is none, or it is not x, y, width and height.
    """
    box = record.get("bbox")
    if box is None:
        raise ModelOutputWrong(f"{name}: neither a segmentation nor a bbox; add one")
    if not _is_box(box):
        raise ModelOutputWrong(f"{name}: bbox {box!r} is not x, y, width and height in pixels")
    x, y, w, h = (float(side) for side in box)
    return x, y, w, h


def _is_box(box: object) -> bool:
    return isinstance(box, list) and len(box) == _SIDES and all(map(_is_length, box)) and min(box[2:]) >= 0


def _is_length(value: object) -> bool:
    return _is_number(value) and abs(value) < BIGGEST_LENGTH  # type: ignore[arg-type]  # a number


def may_be_corners(records: Iterable[Any]) -> bool:
    """Return whether every box of a file could be x1, y1, x2, y2 instead of x, y, width, height."""
    boxes = [one["bbox"] for one in records if isinstance(one, Mapping) and _is_box(one.get("bbox"))]
    return bool(boxes) and all(x <= a and y <= b for x, y, a, b in boxes)


@dataclass(frozen=True, slots=True)
class GeometryCheck:
    """Compares masks and boxes of one image with what their records say about them."""

    size_hw: tuple[int, int]
    boxes_may_be_corners: bool = False
    notes: ReaderNotes | None = None

    def check_box(self, box_xywh: BoxXywh, name: str) -> None:
        """Raise `AnnotationsContradict` if a box is not in pixels of this image."""
        x, y, w, h = box_xywh
        if w * h == 0:
            return
        if max(box_xywh) <= 1:
            raise AnnotationsContradict(
                f"{name}: bbox {_shown(box_xywh)} lies within the first pixel: coordinates from 0 to 1 are not COCO's; "
                "multiply them by the image's width and height"
            )
        height, width = self.size_hw
        edge = max(EDGE_PX, 0.01 * max(self.size_hw))
        if -edge <= min(x, y) and x + w <= width + edge and y + h <= height + edge:
            return
        if self.boxes_may_be_corners and w <= width + edge and h <= height + edge:
            raise AnnotationsContradict(
                f"{name}: bbox {_shown(box_xywh)} leaves the image of {width}x{height} px: it seems to be x1, y1, x2, "
                "y2, but COCO's is x, y, width, height; convert it"
            )
        inside = fill_box(box_xywh, self.size_hw).area_px
        if inside < _HALF * w * h:
            raise AnnotationsContradict(
                f"{name}: bbox {_shown(box_xywh)} lies mostly outside the image of {width}x{height} px: is it of another "
                "image, or of another size of it?"
            )
        self._note("boxes that leave the image, cut at its border", name)

    def check_mask(self, record: Mapping[str, Any], mask: Mask, name: str) -> None:
        """Raise `AnnotationsContradict` if a mask contradicts its polygons' coordinates, its `bbox` or its `area`."""
        self._check_polygons(record.get("segmentation"), mask, name)
        area = record.get("area")
        area_px = float(area) if _is_length(area) else 0.0  # type: ignore[arg-type]  # a number
        box = read_box(record, name) if _is_box(record.get("bbox")) else None
        if not mask:
            declared_px = max(area_px, box[2] * box[3] if box else 0.0)
            if declared_px >= _TINY_PX:
                raise AnnotationsContradict(
                    f"{name}: the segmentation has no pixel in the image, but area {area!r} or bbox "
                    f"{record.get('bbox')!r} says that it has: are its coordinates of another unit or image?"
                )
            return
        if box:
            self._compare_boxes(box, mask, name)
        self._compare_area(area_px, box, mask, name)

    def _check_polygons(self, segmentation: Any, mask: Mask, name: str) -> None:
        if not isinstance(segmentation, list) or not segmentation:
            return
        outlines = read_polygons(segmentation, name)
        points = np.concatenate([np.asarray(outline).reshape(-1, 2) for outline in outlines])
        if len(points) and points.min() >= 0 and points.max() <= 1:
            raise AnnotationsContradict(
                f"{name}: the polygon's coordinates reach from {points.min():.3g} to {points.max():.3g}: they seem to be "
                "shares of the image; COCO's are pixels: multiply them by the image's width and height"
            )
        height, width = self.size_hw
        edge = max(EDGE_PX, 0.01 * max(self.size_hw))
        low, high = points.min(axis=0), points.max(axis=0)
        if (low >= -edge).all() and (high <= np.array([width, height]) + edge).all():
            return
        if mask.area_px < _HALF * sum(_polygon_area(outline) for outline in outlines):
            raise AnnotationsContradict(
                f"{name}: a polygon from {_shown(low)} to {_shown(high)} lies mostly outside the image of "
                f"{width}x{height} px: is it of another image, or of another size of it?"
            )
        self._note("polygons that leave the image, cut at its border", name)

    def _compare_boxes(self, box: BoxXywh, mask: Mask, name: str) -> None:
        tight = mask.box_xywh
        x, y, a, b = box
        corners = (x, y, max(a - x, 0.0), max(b - y, 0.0))
        own, other = box_iou_matrix([tight], [box, corners])[0]
        grown = (x - EDGE_PX, y - EDGE_PX, a + 2 * EDGE_PX, b + 2 * EDGE_PX)
        if own < _HALF and other > _SAME_BOX:
            reason = "it seems to be x1, y1, x2, y2, but COCO's is x, y, width, height; convert it"
        elif _shared_area(tight, grown) < _HALF * tight[2] * tight[3]:
            reason = "one of them is of another image, size or unit"
        else:
            return
        raise AnnotationsContradict(
            f"{name}: the segmentation covers x, y, width, height {_shown(tight)}, but bbox is {_shown(box)}: {reason}"
        )

    @staticmethod
    def _compare_area(area_px: float, box: BoxXywh | None, mask: Mask, name: str) -> None:
        width, height = mask.box_xywh[2:]
        declared = [area_px, box[2] * box[3] if box else area_px]
        difference, larger = abs(mask.area_px - area_px), max(mask.area_px, area_px)
        is_of_box = abs(declared[0] - declared[1]) <= 0.05 * declared[1]
        is_other = area_px >= _TINY_PX and difference > _HALF * larger + width + height
        if is_other and not (box and is_of_box):
            raise AnnotationsContradict(
                f"{name}: the segmentation has {mask.area_px} pixels, but area is {area_px:g}: one of them is of "
                "another size of the image, or of another unit"
            )

    def _note(self, reason: str, name: str) -> None:
        if self.notes is not None:
            self.notes.add(reason, name)


def resolve_turned_size(
    recorded_hw: tuple[int, int], upright_hw: tuple[int, int], records: Sequence[Any], origin: str
) -> tuple[int, int]:
    """Return the size of an image's annotations, which is that of the upright image.

    If the file has the size that the image has without its EXIF orientation, the coordinates decide: where they leave
    that size and fit the upright image, they are of the upright image.

    Raises:
        ModelOutputWrong: the size is another one, or the annotations are of the image as stored.
    """
    if recorded_hw != upright_hw[::-1] or recorded_hw == upright_hw:
        check_size(recorded_hw, upright_hw, origin)
        return upright_hw
    if turn_to_fit(recorded_hw, records) == upright_hw:
        return upright_hw
    stored, shown = (f"{hw[1]}x{hw[0]}" for hw in (recorded_hw, upright_hw))
    raise ModelOutputWrong(
        f"{origin}: the file says {stored} px, but the image is {shown} px when its EXIF orientation is applied, as it "
        "is shown and seen by the models: write size and coordinates of the upright image, or save the image upright "
        "without the orientation"
    )


def turn_to_fit(size_hw: tuple[int, int], records: Sequence[Any]) -> tuple[int, int]:
    """Return the size, turned by 90 degrees if the coordinates leave it and fit the turned one."""
    corners = np.array([xy for one in records for xy in _far_corners(one)]).reshape(-1, 2)
    far = corners.max(axis=0, initial=0)
    leaves = (far > np.array(size_hw[::-1]) + EDGE_PX).any()
    fits_turned = (far <= np.array(size_hw) + EDGE_PX).all()
    return size_hw[::-1] if leaves and fits_turned else size_hw


def _far_corners(record: Any) -> Iterator[tuple[float, float]]:
    """Yield the right lower corners of a record's box, polygons and RLE."""
    if not isinstance(record, Mapping):
        return
    if _is_box(record.get("bbox")):
        x, y, w, h = record["bbox"]
        yield x + w, y + h
    segmentation = record.get("segmentation")
    if isinstance(segmentation, list):
        for polygon in segmentation:
            if isinstance(polygon, list) and polygon and all(map(_is_length, polygon)):
                yield max(polygon[::2]), max(polygon[1::2], default=0.0)
    elif isinstance(segmentation, Mapping):
        size = segmentation.get("size")
        if isinstance(size, list) and len(size) == 2 and all(map(_is_length, size)):  # noqa: PLR2004 - height and width
            yield float(size[1]), float(size[0])


def _polygon_area(outline: Sequence[float]) -> float:
    """Return the area by the shoelace formula."""
    x, y = np.asarray(outline[::2]), np.asarray(outline[1::2])
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def _shared_area(first: BoxXywh, second: BoxXywh) -> float:
    sides = [
        max(
            0.0,
            min(first[axis] + first[axis + 2], second[axis] + second[axis + 2])
            - max(first[axis], second[axis]),
        )
        for axis in (0, 1)
    ]
    return sides[0] * sides[1]


def _shown(values: Iterable[float]) -> list[float]:
    return [round(float(value), 2) for value in values]
