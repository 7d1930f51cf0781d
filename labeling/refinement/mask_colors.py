"""The colors of a person and of what is near, and a mask that is corrected by them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from labeling.matting.guided_filter import guided_filter
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray

BINS = 16
"""Bins per channel of a color histogram (CIE Lab)."""
NEAR = 0.25
"""Width of the surrounding that is compared with the person, as a share of its longer side."""
COLOR_WEIGHT = 0.25
"""Weight of the colors' log likelihood ratio beside the carried mask's log odds: neighboring pixels of one color are
no independent evidence."""
MOST_LOG_RATIO = 4.0
"""Largest log likelihood ratio of a color."""
BLUR, RADIUS = 0.012, 0.02
"""Standard deviation with which the contour is doubted, and radius of the guided filter, as shares of the longer side."""
EPS = 1e-3
"""Regularization of the guided filter, squared colors of 0 to 1."""

SoftMask = NDArray[np.float32]
"""HxW, probability in [0, 1]."""


@dataclass(frozen=True, slots=True, eq=False)
class PersonColors:
    """Log likelihood ratio of each color: of the person against its surroundings."""

    log_ratio: NDArray[np.float32]
    """(BINS, BINS, BINS), over L, a, b."""

    @classmethod
    def learn(cls, examples: Sequence[tuple[RgbImage, BoolArray]]) -> "PersonColors":
        """Count the colors inside the masks and near them; images and masks are HxW."""
        inside, near = np.zeros((2, BINS, BINS, BINS))
        for rgb, mask in examples:
            rows, columns = crop_around(mask, NEAR)
            bins, is_person = _bins(rgb[rows, columns]), mask[rows, columns]
            np.add.at(inside, tuple(bins[is_person].T), 1)
            np.add.at(near, tuple(bins[~is_person].T), 1)
        inside, near = (gaussian_filter(counts, 0.7) + 1e-2 for counts in (inside, near))
        ratio = np.log(inside / inside.sum()) - np.log(near / near.sum())
        return cls(np.clip(ratio, -MOST_LOG_RATIO, MOST_LOG_RATIO).astype(np.float32))

    def of_image(self, rgb: RgbImage) -> NDArray[np.float32]:
        """Return the log likelihood ratio of each pixel, HxW."""
        bins = _bins(rgb)
        return self.log_ratio[bins[..., 0], bins[..., 1], bins[..., 2]]


def refine_by_color(rgb: RgbImage, soft_mask: SoftMask, colors: PersonColors) -> SoftMask:
    """Return the probability of each pixel after its color and the edges of the image are taken into account.

    The carried mask, blurred, is the prior; the colors are the likelihood; the guided filter moves the contour to
    the image's edges. Pixels far from the mask stay 0.
    """
    rows, columns = crop_around(soft_mask > 0.05, NEAR)  # noqa: PLR2004 - nearly certain background
    image, prior = rgb[rows, columns], soft_mask[rows, columns]
    side = max(*_sides(soft_mask > 0.5), 1)  # noqa: PLR2004 - the mask
    blurred = cv2.GaussianBlur(prior, (0, 0), max(0.5, BLUR * side)).clip(0.01, 0.99)
    log_odds = np.log(blurred / (1 - blurred)) + COLOR_WEIGHT * colors.of_image(image)
    posterior = 1 / (1 + np.exp(-log_odds.astype(np.float64)))
    radius_px = max(1, round(RADIUS * side))
    refined = np.zeros_like(soft_mask)
    refined[rows, columns] = guided_filter(image.astype(np.float64) / 255, posterior, radius_px, EPS)
    return refined.clip(0, 1)


def crop_around(mask: BoolArray, margin: float) -> tuple[slice, slice]:
    """Return rows and columns of a mask's box, enlarged by a share of its longer side; all of an empty mask."""
    height, width = _sides(mask)
    if not height:
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    margin_px = round(margin * max(height, width)) + 4
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin_px), int(rows[-1]) + 1 + margin_px),
        slice(max(0, int(columns[0]) - margin_px), int(columns[-1]) + 1 + margin_px),
    )


def _sides(mask: BoolArray) -> tuple[int, int]:
    """Return height and width of a mask's box in pixels; zeros for an empty mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1) if len(rows) else (0, 0)


def _bins(rgb: RgbImage) -> NDArray[np.intp]:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.intp) // (256 // BINS)
