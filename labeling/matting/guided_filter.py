"""The guided filter: values become, in each window, a linear function of an image, and so get its edges.

He, Sun, Tang: Guided Image Filtering, IEEE TPAMI 35(6), 2013; He, Sun: Fast Guided Filter, 2015, which computes the
coefficients of small images and applies them to large ones.
"""

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
    channels = guide if guide.ndim == 3 else guide[..., None]  # noqa: PLR2004 - HxWxC
    slope, offset = _coefficients(channels, image, radius_px, eps)
    return np.asarray((slope * channels).sum(axis=2) + offset, dtype=np.float64)


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
    slope, offset = _coefficients(small, np.asarray(values, dtype=np.float64), radius_px, eps)
    size = (rgb.shape[1], rgb.shape[0])
    large: NDArray[np.float32] = np.asarray(cv2.resize(offset, size), dtype=np.float32)
    for channel in range(3):  # in place: frames are large
        one = cv2.resize(np.ascontiguousarray(slope[..., channel], dtype=np.float32), size)
        large += np.asarray(one, dtype=np.float32) * (rgb[..., channel] * np.float32(1 / 255))
    return np.asarray(np.clip(large, 0, 1), dtype=np.float32)


def _coefficients(
    guide: FloatImage, image: FloatImage, radius_px: int, eps: float
) -> tuple[FloatImage, FloatImage]:
    """Return slope, HxWxC, and offset, HxW, of each pixel: means over the windows that contain it."""

    def mean(values: NDArray[Any]) -> FloatImage:
        return _window_mean(values, radius_px)

    means, image_mean = mean(guide), mean(image)
    covariance = mean(guide * image[..., None]) - means * image_mean[..., None]
    variance = mean(guide[..., :, None] * guide[..., None, :]) - means[..., :, None] * means[..., None, :]
    variance += eps * np.eye(guide.shape[2])
    slope = np.linalg.solve(variance, covariance[..., None])[..., 0]
    offset = image_mean - (slope * means).sum(axis=2)
    return mean(slope), mean(offset)


def _window_mean(values: NDArray[Any], radius_px: int) -> FloatImage:
    """Return the mean over the window around each pixel, for HxW and more axes."""
    size = (2 * radius_px + 1, 2 * radius_px + 1)

    def total(plane: NDArray[Any]) -> NDArray[Any]:
        return cv2.boxFilter(plane, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)

    planes = values.reshape(*values.shape[:2], -1)
    sums = np.stack([total(np.ascontiguousarray(planes[..., i])) for i in range(planes.shape[2])], axis=2)
    counts = total(np.ones(values.shape[:2], dtype=np.float64))
    return np.asarray((sums / counts[..., None]).reshape(values.shape), dtype=np.float64)
