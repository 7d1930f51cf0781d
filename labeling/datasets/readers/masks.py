"""PNG masks made elsewhere, read as instances: label images and probability maps."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import ModelOutputWrong
from labeling.datasets.readers.label_images import read_label_image, unreadable_image
from labeling.structures.images import IMAGE_FORMATS, open_image
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, check_size
from labeling.structures.probability_maps import make_instance

_VALUES = {"1", "L", "P", "I;16", "I;16B", "I;16L", "I"}


def read_label_png(png: bytes, size_hw: tuple[int, int], *, origin: str) -> list[Instance]:
    """Return one instance of score 1 per value of a label image, in the order of values; 0 is background.

    `labeling.datasets.readers.label_images` says how an image with soft edges, alpha or a palette is read. Errors name
    `origin`.
    """
    labels = read_label_image(png, origin=origin, formats=("PNG",)).labels
    check_size((labels.shape[0], labels.shape[1]), size_hw, origin)
    return split_labels(labels)


def split_labels(labels: NDArray[Any]) -> list[Instance]:
    """Return one instance of score 1 per value of a label image, HxW, in the order of values; 0 is background."""
    values = [value for value in np.unique(labels) if value]
    masks = Mask.from_stack(np.stack([labels == value for value in values])) if values else []
    return [Instance(mask, 1.0, mask.box_xywh) for mask in masks]


def read_probability_png(
    png: bytes, size_hw: tuple[int, int], *, mask_threshold: float, origin: str
) -> list[Instance]:
    """Return one instance from an 8-bit probability map (255 is 1); its score is the mean inside the mask."""
    levels = read_values(png, origin=origin, formats=("PNG",))
    check_size((levels.shape[0], levels.shape[1]), size_hw, origin)
    if levels.dtype != np.uint8:
        raise ModelOutputWrong(f"{origin}: a probability map must have 8 bits, not {levels.dtype}")
    if levels.max(initial=0) == 1 and cv2.erode(levels, np.ones((3, 3), np.uint8)).any():
        raise ModelOutputWrong(
            f"{origin}: a probability map has 255 where a person is certain, the highest value here is 1: multiply it "
            "by 255, or send a label image without map=probability"
        )
    probability = levels / np.float32(255)
    inside = probability > mask_threshold
    return [make_instance(inside, probability[inside], mask_threshold=mask_threshold)] if inside.any() else []


def read_values(content: bytes, *, origin: str, formats: tuple[str, ...] = IMAGE_FORMATS) -> NDArray[Any]:
    """Return the values of an image with one value per pixel, HxW: palette indices, gray, or equal channels."""
    try:
        with open_image(content, formats) as image:
            values, mode = np.asarray(image), image.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise unreadable_image(origin, formats, exc) from exc
    if mode in _VALUES:
        return values
    channels = values[..., :1] if mode == "LA" else values[..., :3]
    if not (channels == channels[..., :1]).all():
        raise ModelOutputWrong(f"{origin}: a colored image ({mode}); a mask has one value per pixel")
    return np.asarray(channels[..., 0])
