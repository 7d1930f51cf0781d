"""PNG masks made elsewhere, read as instances: label images and probability maps."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from configs.errors import ModelOutputWrong
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, check_size
from labeling.structures.probability_maps import make_instance

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
