"""Masks as COCO run-length encodings, and operations on them without decoding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from configs.errors import ModelOutputWrong

BoolArray = NDArray[np.bool_]
BoxXywh = tuple[float, float, float, float]

INSIDE_FROM = 0.5
"""A pixel of a soft mask, with values of 0 to 1, belongs to the mask above this value."""
_MOST_AREAS = 255
"""Masks per call: pycocotools' `area` counts them in eight bits."""
_MAX_BITS = 50
"""Longest run length in bits; a string with longer values is not a COCO RLE."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A binary image of `size_hw` pixels in COCO's compressed RLE (column-major runs).

    The encoding is canonical: masks of equal pixels are equal.

    >>> mask = Mask.from_array(np.array([[0, 1, 1], [0, 1, 0]]))
    >>> mask.area_px, mask.box_xywh
    (3, (1.0, 0.0, 2.0, 2.0))
    >>> Mask.from_coco(mask.to_coco()) == mask
    True
    """

    size_hw: tuple[int, int]
    counts: bytes

    @classmethod
    def from_array(cls, pixels: NDArray[Any]) -> Self:
        """Encode an HxW array; the mask is its nonzero pixels.

        Raises:
            ModelOutputWrong: not two axes, or NaN among the pixels.
        """
        return cls._from_rle(coco_mask.encode(_transpose(_binary(pixels, axes="HxW")).T))

    @classmethod
    def from_stack(cls, pixels: NDArray[Any]) -> list[Self]:
        """Encode an NxHxW array as N masks; see `from_array`."""
        stack = _binary(pixels, axes="NxHxW")
        return [cls._from_rle(coco_mask.encode(_transpose(image).T)) for image in stack]

    @classmethod
    def from_coco(cls, rle: dict[str, Any]) -> Self:
        """Read COCO's `{"size": [h, w], "counts": ...}`; counts are compressed (bytes, str) or a list.

        Raises:
            ModelOutputWrong: the runs do not fill the image. (pycocotools would decode such an RLE to
                uninitialized memory.)
        """
        height, width = _size_of(rle)
        counts = rle.get("counts")
        if not isinstance(counts, (list, str, bytes)):
            raise ModelOutputWrong(f"the counts of an RLE are a list or a string, got {counts!r:.60}")
        if isinstance(counts, list):
            # pycocotools adds runs up in 32 bits: wrong ones would pass there, and overwrite memory
            _check_runs([_whole(run) for run in counts], (height, width))
            counts = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)[
                "counts"
            ]
        mask = cls(
            (height, width), counts.encode(errors="surrogatepass") if isinstance(counts, str) else counts
        )
        runs = _run_lengths(mask.counts)
        _check_runs(runs.tolist(), (height, width))
        # pycocotools' comparisons stop at an empty run in the middle: encode such masks again
        return mask if runs[1:].all() else cls.from_array(mask.to_array())

    @classmethod
    def _from_rle(cls, rle: dict[str, Any]) -> Self:
        """Take an RLE made by pycocotools, unchecked."""
        height, width = rle["size"]
        return cls((int(height), int(width)), rle["counts"])

    @classmethod
    def empty(cls, size_hw: tuple[int, int]) -> Self:
        height, width = size_hw
        runs = {"size": [height, width], "counts": [height * width]}
        return cls._from_rle(coco_mask.frPyObjects(runs, height, width))

    def to_coco(self) -> dict[str, Any]:
        """Return pycocotools' dictionary, counts as bytes."""
        return {"size": list(self.size_hw), "counts": self.counts}

    def to_runs(self) -> NDArray[np.int64]:
        """Return the lengths of the column-major runs in pixels, background first (0 if there is none)."""
        return _run_lengths(self.counts)

    def to_array(self) -> BoolArray:
        """Decode to an HxW boolean array (column-major in memory)."""
        height, width = self.size_hw
        return self.to_crop((0, 0, width, height))

    def to_crop(self, box_xywh: tuple[int, int, int, int]) -> BoolArray:
        """Decode the pixels of a box within the image, hxw (column-major in memory).

        The time depends on the box's columns, not on the image. (pycocotools decodes whole images
        only, with a warning under numpy 2.)
        """
        x, y, w, h = box_xywh
        height = self.size_hw[0]
        ends = np.clip(np.cumsum(_run_lengths(self.counts)) - x * height, 0, w * height)
        is_inside = np.arange(len(ends)) % 2 == 1
        columns = np.repeat(is_inside, np.diff(ends, prepend=0)).reshape(w, height)
        return columns.T[y : y + h]

    @property
    def area_px(self) -> int:
        return int(coco_mask.area(self.to_coco()))

    @property
    def box_xywh(self) -> BoxXywh:
        """Tight box in whole pixels; (0, 0, 0, 0) for an empty mask."""
        x, y, w, h = (float(side) for side in coco_mask.toBbox(self.to_coco()))
        return (x, y, w, h)

    @property
    def mirrored_box_xywh(self) -> BoxXywh:
        """`box_xywh` in the image that is mirrored left to right."""
        x, y, w, h = self.box_xywh
        return (self.size_hw[1] - x - w, y, w, h)

    def __bool__(self) -> bool:
        return self.area_px > 0


def union_masks(masks: Sequence[Mask], size_hw: tuple[int, int]) -> Mask:
    """Return the union of any number of masks, on their runs; empty for none.

    Raises:
        ModelOutputWrong: a mask has another size.
    """
    if not masks:
        return Mask.empty(size_hw)
    _check_sizes(masks, size_hw)
    return Mask._from_rle(coco_mask.merge(_to_rles(masks), intersect=False))


def intersect_masks(first: Mask, second: Mask) -> Mask:
    """Return the pixels that both masks share, on their runs."""
    _check_sizes([second], first.size_hw)
    return Mask._from_rle(coco_mask.merge(_to_rles([first, second]), intersect=True))


def mask_areas(masks: Sequence[Mask]) -> NDArray[np.int64]:
    """Return the area of each mask in pixels, (len(masks),)."""
    parts = [masks[start : start + _MOST_AREAS] for start in range(0, len(masks), _MOST_AREAS)]
    areas = [np.asarray(coco_mask.area(_to_rles(part)), dtype=np.int64) for part in parts]
    return np.concatenate(areas) if areas else np.zeros(0, dtype=np.int64)


def mask_boxes(masks: Sequence[Mask]) -> NDArray[np.float64]:
    """Return the tight box of each mask, (len(masks), 4) as x, y, w, h; zeros for an empty mask."""
    boxes = coco_mask.toBbox(_to_rles(masks)) if masks else ()
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def intersection_areas(rows: Sequence[Mask], columns: Sequence[Mask]) -> NDArray[np.int64]:
    """Return the exact pairwise intersections in pixels, (len(rows), len(columns)).

    COCO's "crowd" IoU is the intersection over the row's area, correct to half a unit in the last
    place of a double: times the area, it rounds to the intersection for any area below 2^51.
    """
    shares = _compare(rows, columns, is_crowd=1)
    return np.rint(shares * mask_areas(rows)[:, None]).astype(np.int64)


def iou_matrix(rows: Sequence[Mask], columns: Sequence[Mask]) -> NDArray[np.float64]:
    """Return the pairwise IoU on the runs, (len(rows), len(columns)); two empty masks give 0.

    Raises:
        ModelOutputWrong: the sizes differ.
    """
    return _compare(rows, columns, is_crowd=0)


def box_iou_matrix(rows: Sequence[BoxXywh], columns: Sequence[BoxXywh]) -> NDArray[np.float64]:
    """Return the pairwise IoU of boxes, (len(rows), len(columns))."""
    if not rows or not columns:
        return np.zeros((len(rows), len(columns)))
    first, second = (np.asarray(side, dtype=np.float64) for side in (rows, columns))
    return np.asarray(coco_mask.iou(first, second, [0] * len(columns)), dtype=np.float64)


def flip_mask(mask: Mask) -> Mask:
    """Return the mask flipped left to right."""
    return Mask.from_array(mask.to_array()[:, ::-1])


def fill_box(box_xywh: BoxXywh, size_hw: tuple[int, int]) -> Mask:
    """Return the image's pixels in a box with rounded edges."""
    x, y, w, h = box_xywh
    pixels = np.zeros(size_hw, dtype=np.bool_)
    left, top, right, bottom = (max(0, round(edge)) for edge in (x, y, x + w, y + h))
    pixels[top:bottom, left:right] = True
    return Mask.from_array(pixels)


def check_size(size_hw: tuple[int, int], frame_hw: tuple[int, int], origin: str) -> None:
    """Raise `ModelOutputWrong` if a mask's size differs from its frame's."""
    if size_hw != frame_hw:
        advice = "make masks in the frame's size"
        if size_hw == frame_hw[::-1]:
            advice += ", which is that of the upright image, with its EXIF orientation applied"
        raise ModelOutputWrong(
            f"{origin}: the mask is {size_hw[1]}x{size_hw[0]} px, its frame {frame_hw[1]}x{frame_hw[0]}; "
            f"{advice}"
        )


def _compare(rows: Sequence[Mask], columns: Sequence[Mask], *, is_crowd: int) -> NDArray[np.float64]:
    if not rows or not columns:
        return np.zeros((len(rows), len(columns)))
    _check_sizes([*rows, *columns], rows[0].size_hw)
    ious = coco_mask.iou(_to_rles(rows), _to_rles(columns), [is_crowd] * len(columns))
    return np.asarray(ious, dtype=np.float64)


def _to_rles(masks: Sequence[Mask]) -> list[dict[str, Any]]:
    return [{"size": mask.size_hw, "counts": mask.counts} for mask in masks]


def _check_sizes(masks: Sequence[Mask], size_hw: tuple[int, int]) -> None:
    """Check the sizes: for different ones pycocotools returns -1 or an empty mask, not an error."""
    for mask in masks:
        if mask.size_hw != size_hw:
            raise ModelOutputWrong(
                f"masks of {mask.size_hw} and {size_hw} pixels (height, width) cannot be compared: "
                "make every mask in its frame's size"
            )


def _binary(pixels: NDArray[Any], *, axes: str) -> BoolArray:
    if pixels.ndim != len(axes.split("x")):
        raise ModelOutputWrong(f"mask pixels must be an {axes} array, got the shape {pixels.shape}")
    if np.issubdtype(pixels.dtype, np.floating) and np.isnan(pixels).any():
        raise ModelOutputWrong(
            f"{int(np.isnan(pixels).sum())} of {pixels.size} mask pixels are NaN: apply the threshold first"
        )
    return pixels if pixels.dtype == np.bool_ else pixels != 0


def _transpose(pixels: BoolArray) -> NDArray[np.uint8]:
    """Return WxH in row-major order: seen as HxW, the column-major order that the codec requires."""
    columns = pixels.T.view(np.uint8)
    if columns.flags.c_contiguous or not pixels.size:
        return np.ascontiguousarray(columns)
    if pixels.flags.c_contiguous:  # OpenCV transposes in blocks, numpy jumps a row for each pixel
        import cv2

        return np.asarray(cv2.transpose(pixels.view(np.uint8)), dtype=np.uint8)
    return np.ascontiguousarray(columns)


def _size_of(rle: dict[str, Any]) -> tuple[int, int]:
    size = rle.get("size")
    sides = size if isinstance(size, (list, tuple, np.ndarray)) else ()
    if len(sides) != 2 or min(map(_whole, sides), default=0) < 0:  # noqa: PLR2004  # height and width
        raise ModelOutputWrong(f"the size of an RLE is [height, width], got {size!r:.60}")
    return _whole(sides[0]), _whole(sides[1])


def _whole(run: Any) -> int:
    if isinstance(run, bool) or not isinstance(run, (int, np.integer)):
        raise ModelOutputWrong(f"a run of an RLE is a whole number, got {run!r}")
    return int(run)


def _check_runs(runs: Sequence[int], size_hw: tuple[int, int]) -> None:
    """Raise `ModelOutputWrong` unless the runs fill the image; Python's integers do not overflow."""
    pixels, total, shortest = size_hw[0] * size_hw[1], sum(runs), min(runs, default=size_hw[0] * size_hw[1])
    if total != pixels or shortest < 0:
        raise ModelOutputWrong(
            f"an RLE of {size_hw[0]}x{size_hw[1]} pixels requires runs that add up to {pixels}, got "
            f"{total} in {len(runs)} runs, the shortest {shortest}: it is "
            "truncated or belongs to another image size; write it again for this image"
        )


def _run_lengths(counts: bytes) -> NDArray[np.int64]:
    """Return the column-major run lengths, background first; none if the string is malformed.

    COCO's string (maskApi.c, rleToString): five bits a character, offset 48, lowest first, 32 = more
    follow, 16 in the last = negative; from the fourth number on, the difference to the one before last.
    """
    characters = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    is_last = characters & 32 == 0
    last = np.flatnonzero(is_last)
    if not len(last) or not is_last[-1] or (characters >> 6).any():
        return np.zeros(0, dtype=np.int64)
    first = np.concatenate(([0], last[:-1] + 1))
    bits = 5 * (np.arange(len(characters)) - np.repeat(first, last - first + 1))
    if bits.max() > _MAX_BITS:
        return np.zeros(0, dtype=np.int64)
    runs = np.add.reduceat((characters & 31) << bits, first)
    runs -= np.where(characters[last] & 16, np.int64(1) << (bits[last] + 5), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
