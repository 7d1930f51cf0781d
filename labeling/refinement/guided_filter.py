"""The guided filter as a refiner: a mask's contour moves to the edges of the image.

He, Sun, Tang: Guided Image Filtering, IEEE TPAMI 35(6), 2013. In each window the mask is approximated by a
linear function of the image; a pixel's value is the mean over the windows that contain it.
"""

import json
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.refinement import GuidedFilterBlock
from labeling.refinement.mask_by_mask import MaskByMaskRefiner
from labeling.structures.frames import RgbImage
from labeling.structures.instances import ModelCard
from labeling.structures.masks import BoolArray, Mask

FloatImage = NDArray[np.float64]
INSIDE_FROM = 0.5
"""A pixel belongs to the mask above this filtered value."""


class GuidedFilterRefiner(MaskByMaskRefiner):
    """Filters each mask with the image as guide; a person does not grow into the mask of another."""

    def __init__(self, block: GuidedFilterBlock) -> None:
        self._block = block

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "guide"})
        return ModelCard(self._block.kind, self._block.guide, "", json.dumps(settings, sort_keys=True))

    def refine_mask(self, rgb: RgbImage, mask: Mask, others: BoolArray) -> Mask:
        """Filter a mask in a crop around it."""
        x, y, w, h = (int(side) for side in mask.box_xywh)
        radius_px = max(1, round(self._block.radius * max(w, h)))
        margin = 2 * radius_px  # farther away the result is 0
        rows = slice(max(0, y - margin), y + h + margin)
        columns = slice(max(0, x - margin), x + w + margin)
        inside = mask.to_array()[rows, columns]
        guide = rgb[rows, columns].astype(np.float64) / 255
        if self._block.guide == "gray":
            guide = guide @ np.array([0.299, 0.587, 0.114])
        filtered = guided_filter(guide, inside.astype(np.float64), radius_px, self._block.eps)
        refined = np.zeros(mask.size_hw, dtype=np.bool_)
        refined[rows, columns] = (filtered > INSIDE_FROM) & (inside | ~others[rows, columns])
        return Mask.from_array(refined)


def guided_filter(guide: FloatImage, image: FloatImage, radius_px: int, eps: float) -> FloatImage:
    """Filter an HxW image with a guide, HxW or HxWxC, both with values of 0 to 1.

    Windows are squares of 2 * radius_px + 1 pixels, cut at the border.
    """
    channels = guide if guide.ndim == 3 else guide[..., None]  # noqa: PLR2004 - HxWxC

    def mean(values: NDArray[Any]) -> FloatImage:
        return _window_mean(values, radius_px)

    means, image_mean = mean(channels), mean(image)
    covariance = mean(channels * image[..., None]) - means * image_mean[..., None]
    variance = (
        mean(channels[..., :, None] * channels[..., None, :]) - means[..., :, None] * means[..., None, :]
    )
    variance += eps * np.eye(channels.shape[2])
    slope = np.linalg.solve(variance, covariance[..., None])[..., 0]
    offset = image_mean - (slope * means).sum(axis=2)
    return np.asarray((mean(slope) * channels).sum(axis=2) + mean(offset), dtype=np.float64)


def _window_mean(values: NDArray[Any], radius_px: int) -> FloatImage:
    """Return the mean over the window around each pixel, for HxW and more axes."""
    size = (2 * radius_px + 1, 2 * radius_px + 1)

    def total(plane: NDArray[Any]) -> NDArray[Any]:
        return cv2.boxFilter(plane, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)

    planes = values.reshape(*values.shape[:2], -1)
    sums = np.stack([total(np.ascontiguousarray(planes[..., i])) for i in range(planes.shape[2])], axis=2)
    counts = total(np.ones(values.shape[:2], dtype=np.float64))
    return np.asarray((sums / counts[..., None]).reshape(values.shape), dtype=np.float64)
