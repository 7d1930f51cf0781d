"""The guided filter: values become, in each window, a linear function of an image, and so get its edges.

He, Sun, Tang: Guided Image Filtering, IEEE TPAMI 35(6), 2013; He, Sun: Fast Guided Filter, 2015, which computes the
coefficients of small images and applies them to large ones.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage

FloatImage = NDArray[np.float64]


def guided_filter(guide: FloatImage, image: FloatImage, radius_px: int, eps: float) -> FloatImage:
    """Filter an HxW image with a guide, HxW or HxWxC, both with values of 0 to 1.

    Windows are squares of 2 * radius_px + 1 pixels, cut at the border. `eps` is the variance of the guide below which a
    window counts as flat, and the image is only blurred there.
    """
    planes = _planes(guide)
    slopes, offset = _coefficients(planes, image, radius_px, eps)
    for slope, plane in zip(slopes, planes, strict=True):
        offset += slope * plane
    return offset


def guided_upsample(
    values: NDArray[np.floating[Any]], rgb: RgbImage, *, radius_px: int, eps: float
) -> NDArray[np.float32]:
    """Scale values of 0 to 1, hxw, to the size of an image, HxWx3, along its edges.

    `radius_px` counts pixels of the small image.

    >>> rgb = np.zeros((40, 40, 3), dtype=np.uint8)
    >>> rgb[:, 17:] = 255
    >>> small = np.repeat([[0.0, 0.0, 0.0, 0.0, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]], 10, axis=0)
    >>> large = guided_upsample(small, rgb, radius_px=2, eps=1e-4)  # its edge is that of the image, column 17
    >>> int((large[20] < 0.5).sum())
    17
    """
    height, width = values.shape
    small: FloatImage = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA) / np.float64(255)
    slopes, offset = _coefficients(_planes(small), np.asarray(values, dtype=np.float64), radius_px, eps)
    large = _enlarge(offset, rgb)
    for channel, slope in enumerate(slopes):  # in place: frames are large
        large += _enlarge(slope, rgb) * (rgb[..., channel] * np.float32(1 / 255))
    return np.asarray(np.clip(large, 0, 1), dtype=np.float32)


def _planes(guide: FloatImage) -> list[FloatImage]:
    """Return the channels, HxW each: arithmetic on whole planes is several times faster than on their pixels' vectors."""
    channels = guide if guide.ndim == 3 else guide[..., None]  # noqa: PLR2004 - HxWxC
    return [np.ascontiguousarray(channels[..., channel]) for channel in range(channels.shape[2])]


def _enlarge(plane: FloatImage, like: RgbImage) -> NDArray[np.float32]:
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(np.asarray(plane, dtype=np.float32), size), dtype=np.float32)


def _coefficients(
    guide: Sequence[FloatImage], image: FloatImage, radius_px: int, eps: float
) -> tuple[list[FloatImage], FloatImage]:
    """Return each channel's slope, and the offset, HxW each: means over the windows that contain a pixel."""
    size = (2 * radius_px + 1, 2 * radius_px + 1)

    def total(plane: FloatImage) -> FloatImage:
        summed = cv2.boxFilter(plane, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(summed, dtype=np.float64)

    share = 1 / total(np.ones(image.shape, dtype=np.float64))

    def mean(plane: FloatImage) -> FloatImage:
        return total(plane) * share

    means, image_mean = [mean(plane) for plane in guide], mean(image)
    covariances = [mean(plane * image) - own * image_mean for plane, own in zip(guide, means, strict=True)]
    order = range(len(guide))
    variances = {
        (i, j): mean(guide[i] * guide[j]) - means[i] * means[j] + (eps if i == j else 0)
        for i in order
        for j in order[i:]
    }
    slopes = _solve([[variances[min(i, j), max(i, j)] for j in order] for i in order], covariances)
    offset = image_mean - np.sum([slope * own for slope, own in zip(slopes, means, strict=True)], axis=0)
    return [mean(slope) for slope in slopes], mean(offset)


def _solve(matrix: list[list[FloatImage]], right: list[FloatImage]) -> list[FloatImage]:
    """Solve one small system of linear equations for each pixel; both arguments are overwritten.

    Gaussian elimination without a choice of pivots: variances plus `eps` are positive definite.
    """
    order = range(len(right))
    for i in order:
        for j in order[i + 1 :]:
            factor = matrix[j][i] / matrix[i][i]
            for k in order[i + 1 :]:
                matrix[j][k] = matrix[j][k] - factor * matrix[i][k]
            right[j] = right[j] - factor * right[i]
    for i in reversed(order):
        for k in order[i + 1 :]:
            right[i] = right[i] - matrix[i][k] * right[k]
        right[i] = right[i] / matrix[i][i]
    return right
