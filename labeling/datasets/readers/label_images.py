"""What an image of masks is, decided from its values: labels, one mask with soft edges, or alpha.

| image | read as |
|---|---|
| 0 and one other value, 1 bit | one mask |
| palette of colors, gray or 16-bit ids | one value per person; 255 beside ids counted from 1 is undecided |
| most of the values that are not 0 are near white, the others lie between white and black | one mask above half |
| a photo or one color with a transparent part | one mask where alpha is above half |
| levels of gray, CDnet's grays, no pixel of 0 | refused |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from configs.errors import ModelOutputWrong
from labeling.structures.images import IMAGE_FORMATS, open_image
from labeling.structures.masks import BoolArray

VOID = 255
"""Beside ids counted from 1: an undecided border (Pascal VOC, DAVIS). Alone: the one mask."""
MOST_LABELS = 64
"""With more values, the image has levels of gray instead of labels."""
_DEPTHS = (255, 4095, 16383, 65535)
"""White in images of 8, 12, 14 and 16 bits."""
_PER_CENT = 100
"""White in images of per cents."""
_NEAR_WHITE = 0.9
_MIN_CONTACT = 0.15
"""A soft edge touches white on one side and black on the other: the shorter of both contacts over the longer one. The
undecided border of VOC touches black, and the labels inside it do not."""
_BAND = 0.05
"""Half of the widest edge or unknown band of a trimap, as a share of the image's shorter side."""
_THICK_SHARE = 0.1
"""Share of the pixels of an edge that may lie deeper than that."""
_FEWEST_LEVELS = 4
"""With fewer values, labels and levels of gray cannot be told apart."""
_LADDER_SHARE = 0.6
"""Levels of gray change by one step from pixel to pixel; people border the background or any other person."""
_FEWEST_WITHOUT_BACKGROUND = 2
_CDNET = frozenset({50, 85, 170, 255})
_OPAQUE = 127
_PLAIN = frozenset({"", "labels", "one mask", "no person"})
_GRAY = {"1", "L", "I;16", "I;16B", "I;16L", "I"}
_PNG, _DEPTH_OFFSET, _BYTE = b"\x89PNG\r\n\x1a\n", 24, 8


@dataclass(frozen=True, slots=True, eq=False)
class LabelImage:
    """An image of masks, understood."""

    labels: NDArray[Any]
    """HxW; 0 is background, each other value one person."""
    kind: str
    """What the image was taken for, such as `one mask with soft edges, above 127`."""

    @property
    def is_special(self) -> bool:
        """Whether more was decided than that each value is a person."""
        return self.kind not in _PLAIN


def read_label_image(content: bytes, *, origin: str, formats: tuple[str, ...] = IMAGE_FORMATS) -> LabelImage:
    """Read an image of masks and decide what its values mean; see the table at the top of this file.

    Raises:
        ModelOutputWrong: not a readable image, colored, or values that cannot be masks; the message names `origin`.
    """
    image = _open(content, origin, formats)
    values, is_ids, kind = _values_of(image, origin)
    if is_ids or values.dtype == np.bool_:
        return LabelImage(values, kind)
    is_narrow = content.startswith(_PNG) and content[_DEPTH_OFFSET] < _BYTE
    found = sort_gray(values, origin=origin, is_narrow=is_narrow)
    return LabelImage(found.labels, f"{kind}: {found.kind}" if kind else found.kind)


def _open(content: bytes, origin: str, formats: tuple[str, ...]) -> Image.Image:
    try:
        with open_image(content, formats) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise unreadable_image(origin, formats, exc) from exc


def unreadable_image(origin: str, formats: Sequence[str], exc: Exception) -> ModelOutputWrong:
    """Return the error for bytes that Pillow cannot read; its own words are left out where they only name an object."""
    kind = "image" if formats is IMAGE_FORMATS else f"{formats[0]} image"
    detail = "" if isinstance(exc, UnidentifiedImageError) else f": {exc}"
    return ModelOutputWrong(f"{origin}: not a readable {kind}{detail}")


def _values_of(image: Image.Image, origin: str) -> tuple[NDArray[Any], bool, str]:
    """Return one value per pixel, whether the values are ids for certain, and what was decided so far."""
    if image.mode == "P":
        return _read_palette(image, origin)
    values = np.asarray(image)
    if image.mode in _GRAY:
        return values, False, ""
    has_alpha = image.mode in {"LA", "RGBA", "La", "RGBa"}
    if not has_alpha and image.mode != "RGB":
        values = np.asarray(image.convert("RGB"))
    colors = values[..., :1] if image.mode in {"LA", "La"} else values[..., :3]
    is_gray = bool((colors == colors[..., :1]).all())
    if has_alpha:
        alpha = values[..., -1]
        if alpha.min() < alpha.max():
            return _read_alpha(colors[..., 0], alpha, is_gray=is_gray)
    if not is_gray:
        raise ModelOutputWrong(
            f"{origin}: a colored image ({image.mode}); a mask has one value per pixel: write gray values or a palette"
        )
    return np.asarray(colors[..., 0]), False, ""


def _read_palette(image: Image.Image, origin: str) -> tuple[NDArray[Any], bool, str]:
    """Return a palette's indices, or its grays if all used colors are different grays."""
    indices = np.asarray(image)
    used, first = np.unique(indices, return_index=True)
    table = np.asarray(image.convert("RGBA")).reshape(-1, 4)[first]
    transparent = used[table[:, 3] <= _OPAQUE]
    if len(transparent) == len(used):
        transparent = used[:0]  # nothing can be seen: transparency says nothing about the masks
    grays = table[:, 0]
    is_gray = (table[:, :3] == table[:, :1]).all() and len(np.unique(grays)) == len(used)
    values = indices
    if is_gray:
        levels = np.zeros(int(used.max()) + 1, dtype=np.uint8)
        levels[used] = grays
        values = levels[indices]
    if len(transparent):
        values = np.where(np.isin(indices, transparent), 0, values)
    if is_gray:
        return values, False, ""
    return _without_void(values, origin), True, "labels by the palette's indices"


def _read_alpha(gray: NDArray[Any], alpha: NDArray[Any], *, is_gray: bool) -> tuple[NDArray[Any], bool, str]:
    """Return the gray values where the image is opaque, or alpha itself if the colors say nothing about people."""
    inside = np.unique(gray[alpha > _OPAQUE]) if is_gray else np.zeros(0)
    if is_gray and len(inside) > 1:
        return np.where(alpha > _OPAQUE, gray, 0), False, "transparent pixels are background"
    return alpha, False, "the alpha channel"


def sort_gray(values: NDArray[Any], *, origin: str, is_narrow: bool = False) -> LabelImage:
    """Decide what gray values mean, HxW; `is_narrow` if they were stored with fewer than 8 bits.

    Raises:
        ModelOutputWrong: levels of gray, CDnet's grays, or no background.
    """
    present = [int(value) for value in np.unique(values) if value]
    if len(present) <= 1:
        return LabelImage(values, "one mask" if present else "no person")
    whites = (present[-1],) if present[-1] == _PER_CENT else _DEPTHS
    white = next((white for white in whites if present[-1] <= white), present[-1])
    if not is_narrow and _has_soft_edges(values, white):
        half = white // 2
        return LabelImage(values > half, f"one mask with soft edges, above {half}")
    _refuse_levels(values, present, origin)
    is_spread = _is_evenly_spread(present)
    if not is_narrow and {VOID, 170} <= set(present) <= _CDNET:
        raise ModelOutputWrong(
            f"{origin}: the values {present} are those of CDnet: set mask_encoding: cdnet, or write one value per "
            "person, counted from 1"
        )
    return LabelImage(values if is_spread else _without_void(values, origin), "labels")


def _has_soft_edges(values: NDArray[Any], white: int) -> bool:
    """Return whether the values are those of one mask whose edges were smoothed, compressed or left undecided."""
    top = values >= _NEAR_WHITE * white
    others = (values > 0) & ~top
    if top.sum() <= others.sum():
        return False
    if not others.any():
        return True
    at_black, at_top = (int((others & _grow(side)).sum()) for side in (values == 0, top))
    if min(at_black, at_top) < _MIN_CONTACT * max(at_black, at_top):
        return False
    depth = cv2.distanceTransform(others.astype(np.uint8), cv2.DIST_L2, 3)
    widest = max(2.0, _BAND * min(values.shape))
    return bool((depth > widest).sum() <= _THICK_SHARE * others.sum())


def _grow(pixels: BoolArray) -> BoolArray:
    return np.asarray(cv2.dilate(pixels.astype(np.uint8), np.ones((3, 3), np.uint8)), dtype=np.bool_)


def _refuse_levels(values: NDArray[Any], present: list[int], origin: str) -> None:
    advice = "apply a threshold to a probability map first, or let a service send it as `image/png; map=probability`"
    if len(present) > MOST_LABELS:
        raise ModelOutputWrong(
            f"{origin}: {len(present)} different values; a label image has one value per person, at most "
            f"{MOST_LABELS}: {advice}"
        )
    if len(present) >= _FEWEST_LEVELS and _ladder_share(values) > _LADDER_SHARE:
        raise ModelOutputWrong(
            f"{origin}: {len(present)} different values that change step by step ({present[:5]} ...) are levels of "
            f"gray, not one value per person: {advice}"
        )
    if len(present) >= _FEWEST_WITHOUT_BACKGROUND and values.min() > 0:
        raise ModelOutputWrong(
            f"{origin}: no pixel is 0, the background of a label image; the values are {present[:5]} ...: write 0 "
            "where there is no person, as for a map of classes"
        )


def _ladder_share(values: NDArray[Any]) -> float:
    """Return which share of neighboring pixels with different values are neighbors in the order of values."""
    ranks = np.unique(values, return_inverse=True)[1].reshape(values.shape).astype(np.int64)
    steps = np.concatenate([np.abs(np.diff(ranks, axis=axis)).ravel() for axis in (0, 1)])
    steps = steps[steps > 0]
    return float((steps == 1).mean()) if len(steps) else 0.0


def _is_evenly_spread(present: list[int]) -> bool:
    """Return whether the values are labels spread over all grays to be seen, such as 85, 170 and 255."""
    count = len(present)
    expected = [round(VOID * number / count) for number in range(1, count + 1)]
    return all(abs(value - other) <= 1 for value, other in zip(present, expected, strict=True))


def _without_void(values: NDArray[Any], origin: str) -> NDArray[Any]:
    present = [int(value) for value in np.unique(values) if value]
    if len(present) > MOST_LABELS:
        raise ModelOutputWrong(
            f"{origin}: {len(present)} different values; a label image has one value per person, at most {MOST_LABELS}"
        )
    return np.where(values == VOID, 0, values) if len(present) > 1 else values
