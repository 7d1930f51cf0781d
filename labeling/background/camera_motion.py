"""Motion of a camera that should stand still: its size, and the alignment of images.

Corners of one image are followed into the other by optical flow (Lucas and Kanade, in a pyramid), and a
homography is fitted with RANSAC.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.structures.images import resize_image, thumbnail
from labeling.structures.masks import BoolArray

Homography = NDArray[np.float64]
"""3x3: maps pixel centers (x, y, 1) of the reference to pixel centers of the image."""
Points = NDArray[np.float32]
"""Nx1x2: x, y."""

WORKING_SIDE_PX = 960
"""Larger images are reduced to this longer side."""
MAX_CORNERS = 400
CORNER_QUALITY = 0.01
"""Least corner strength, as a share of the strongest corner."""
CORNER_SPACING = 1 / 60
"""Least distance of two corners, as a share of the diagonal."""
FLOW_WINDOW_PX = 21
FLOW_LEVELS = 4
MAX_RETURN_PX = 0.7
"""A corner followed to the image and back must end this close to its start."""
RANSAC_PX = 1.5
"""Largest distance of an inlier, in working pixels."""
MIN_INLIERS = 12
"""Corners that must agree on one motion; images of two places share up to 4 by chance."""
MIN_INLIER_SHARE = 0.5
"""Share of the followed corners that must agree on one motion."""
MIN_HOMOGRAPHY_INLIERS = 60
"""With fewer inliers a similarity (4 parameters) is fitted: a homography (8) would bend the rest of the image."""
MAX_SHIFT_SHARE = 0.2
"""A larger shift of a corner of the image, as a share of its diagonal, is another view."""
COMPARED_SIDE_PX = 480
"""Longer side of the images whose details are compared."""
MIN_CORRELATION = 0.55
"""Details of images of a still camera correlate by 0.69 and more, after a shift of 4 of 480 px by at most 0.4
(measured on six clips, one of them badly compressed)."""
MIN_TEXTURE_LEVELS = 2.0
"""Details with a smaller standard deviation may be noise only."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageMatch:
    """The position of one image relative to a reference."""

    homography: Homography | None
    """None if too few corners agree on one."""
    shift_px: float
    """Median displacement of background corners. Infinite: another view. NaN: unknown, for too few corners."""


def measure_shift(samples: Sequence[RgbImage], masks: Sequence[BoolArray]) -> float:
    """Return the median over the samples of their shift in pixels against the most typical sample.

    `masks` are HxW and true where people are. Samples with an unknown shift are ignored; 0 if none is known.
    Infinite if half of the samples show another view.
    """
    reference = choose_reference([thumbnail(sample) for sample in samples])
    matches = [
        match_image(sample, samples[reference], mask | masks[reference])
        for index, (sample, mask) in enumerate(zip(samples, masks, strict=True))
        if index != reference
    ]
    return median_shift(matches)


def median_shift(matches: Sequence[ImageMatch]) -> float:
    """Return the median of the known shifts in pixels; 0 if none is known."""
    known = [match.shift_px for match in matches if not math.isnan(match.shift_px)]
    return float(np.median(known)) if known else 0.0


def estimate_homography(
    rgb: RgbImage, reference_rgb: RgbImage, exclude: BoolArray | None = None
) -> Homography | None:
    """Return the homography from the reference to an image of the same size; None for too few inliers.

    `exclude` is HxW and true where either image shows people. To bring the image to the reference:
    `cv2.warpPerspective(rgb, homography, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)`;
    to bring the reference to the image, the same without `WARP_INVERSE_MAP`.
    """
    return match_image(rgb, reference_rgb, exclude).homography


def match_image(rgb: RgbImage, reference_rgb: RgbImage, exclude: BoolArray | None) -> ImageMatch:
    """Find the position of an image relative to a reference of the same size."""
    size_hw = _reduced_hw(rgb.shape[:2], WORKING_SIDE_PX)
    visible = _shrink_visible(exclude, size_hw)
    base = _to_gray(reference_rgb, size_hw)
    if _texture(base, visible) < MIN_TEXTURE_LEVELS:
        return ImageMatch(None, math.nan)
    gray = _match_light(_to_gray(rgb, size_hw), base, visible)
    starts, ends = _follow(base, gray, _find_corners(base, visible), visible)
    found, inliers = _fit_motion(starts, ends)
    if found is None:
        is_alike = _correlation(gray, base, visible) >= MIN_CORRELATION
        return ImageMatch(None, math.nan if is_alike else math.inf)
    homography = _scale_up(found, size_hw, rgb.shape[:2])
    if _largest_corner_shift(homography, rgb.shape[:2]) > MAX_SHIFT_SHARE * math.hypot(*rgb.shape[:2]):
        return ImageMatch(None, math.inf)
    moved = np.linalg.norm((ends - starts)[inliers].reshape(-1, 2), axis=1)
    return ImageMatch(homography, float(np.median(moved)) * rgb.shape[0] / size_hw[0])


def warp_to_reference(rgb: RgbImage, seen: BoolArray, homography: Homography) -> tuple[RgbImage, BoolArray]:
    """Bring an image to the reference; a pixel is seen where all pixels it is interpolated from are."""
    height, width = seen.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(
        rgb, homography, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    visible = cv2.warpPerspective(seen.astype(np.uint8) * 255, homography, (width, height), flags=flags)
    return warped.astype(np.uint8), np.asarray(visible == 255)  # noqa: PLR2004 - wholly seen


def choose_reference(thumbnails: Sequence[NDArray[np.float32]]) -> int:
    """Return the index of the most typical image: its median distance to the others is least."""
    flat = np.stack(thumbnails).reshape(len(thumbnails), -1)
    distances = [float(np.median(np.abs(flat - one).mean(axis=1))) for one in flat]
    return int(np.argmin(distances))


def _reduced_hw(size_hw: tuple[int, ...], side_px: int) -> tuple[int, int]:
    scale = min(1.0, side_px / max(size_hw))
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def _to_gray(rgb: RgbImage, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(resize_image(rgb, size_hw), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _shrink_visible(exclude: BoolArray | None, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return 255 where a working pixel is not excluded."""
    if exclude is None:
        return np.full(size_hw, 255, dtype=np.uint8)
    visible = (~exclude).astype(np.uint8) * 255
    resized = cv2.resize(visible, size_hw[::-1], interpolation=cv2.INTER_AREA)
    return np.where(resized == 255, 255, 0).astype(np.uint8)  # noqa: PLR2004 - wholly visible


def _find_corners(gray: NDArray[np.uint8], visible: NDArray[np.uint8]) -> Points:
    spacing_px = CORNER_SPACING * math.hypot(*gray.shape)
    corners = cv2.goodFeaturesToTrack(gray, MAX_CORNERS, CORNER_QUALITY, spacing_px, mask=visible)
    return np.zeros((0, 1, 2), np.float32) if corners is None else np.asarray(corners, dtype=np.float32)


def _match_light(
    gray: NDArray[np.uint8], base: NDArray[np.uint8], visible: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Give an image the mean and deviation of the base: optical flow requires constant brightness."""
    (mean,), (deviation,) = (value.ravel() for value in cv2.meanStdDev(gray, mask=visible))
    (base_mean,), (base_deviation,) = (value.ravel() for value in cv2.meanStdDev(base, mask=visible))
    gain = base_deviation / max(deviation, 1.0)
    return np.clip((gray - mean) * gain + base_mean + 0.5, 0, 255).astype(np.uint8)


def _fit_motion(starts: Points, ends: Points) -> tuple[Homography | None, BoolArray]:
    """Return the motion of most corners and its inliers; None if too few agree."""
    none = np.zeros(len(starts), dtype=bool)
    if len(starts) < MIN_INLIERS:
        return None, none
    found, inliers = cv2.findHomography(starts, ends, cv2.RANSAC, RANSAC_PX)
    if found is None or inliers.sum() < MIN_HOMOGRAPHY_INLIERS:
        part, inliers = cv2.estimateAffinePartial2D(
            starts, ends, method=cv2.RANSAC, ransacReprojThreshold=RANSAC_PX
        )
        found = None if part is None else np.vstack([part, [0, 0, 1]])
    if found is None or inliers.sum() < max(MIN_INLIERS, MIN_INLIER_SHARE * len(starts)):
        return None, none
    return np.asarray(found, dtype=np.float64), inliers.ravel() > 0


def _texture(gray: NDArray[np.uint8], visible: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the visible details in gray levels."""
    details = _details(gray, visible)
    return float(details.std()) if details.size else 0.0


def _correlation(gray: NDArray[np.uint8], base: NDArray[np.uint8], visible: NDArray[np.uint8]) -> float:
    """Return the correlation of the visible details of two images at the same place, -1 to 1."""
    first, second = (_details(image, visible) for image in (gray, base))
    covariance = float(((first - first.mean()) * (second - second.mean())).mean())
    return covariance / max(float(first.std() * second.std()), 1e-6)


def _details(gray: NDArray[np.uint8], visible: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the visible pixels without noise and coarse brightness (difference of Gaussians)."""
    size_hw = _reduced_hw(gray.shape, COMPARED_SIDE_PX)
    small = cv2.resize(gray, size_hw[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    seen = cv2.resize(visible, size_hw[::-1], interpolation=cv2.INTER_NEAREST) > 0
    details = cv2.GaussianBlur(small, (0, 0), 1) - cv2.GaussianBlur(small, (0, 0), 4)
    return np.asarray(details[seen], dtype=np.float32)


def _follow(
    base: NDArray[np.uint8], gray: NDArray[np.uint8], corners: Points, visible: NDArray[np.uint8]
) -> tuple[Points, Points]:
    """Return where corners of the base start and end, for those that can be followed there and back."""
    if not len(corners):
        return corners, corners
    window = (FLOW_WINDOW_PX, FLOW_WINDOW_PX)
    ends, found, _ = cv2.calcOpticalFlowPyrLK(base, gray, corners, None, winSize=window, maxLevel=FLOW_LEVELS)  # type: ignore[call-overload]  # OpenCV's stub does not know None: no initial flow
    back, returned, _ = cv2.calcOpticalFlowPyrLK(gray, base, ends, None, winSize=window, maxLevel=FLOW_LEVELS)  # type: ignore[call-overload]
    columns, rows = np.rint(ends).astype(int).reshape(-1, 2).T
    inside = (columns >= 0) & (rows >= 0) & (columns < gray.shape[1]) & (rows < gray.shape[0])
    kept = inside & (found.ravel() > 0) & (returned.ravel() > 0)
    kept &= np.linalg.norm((back - corners).reshape(-1, 2), axis=1) < MAX_RETURN_PX
    kept[kept] = visible[rows[kept], columns[kept]] > 0
    return corners[kept], ends[kept]


def _scale_up(homography: Homography, from_hw: tuple[int, int], to_hw: tuple[int, ...]) -> Homography:
    """Return the homography between images of another size; pixel centers lie at whole numbers."""
    x, y = to_hw[1] / from_hw[1], to_hw[0] / from_hw[0]
    up = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
    scaled = up @ homography @ np.linalg.inv(up)
    return np.asarray(scaled / scaled[2, 2], dtype=np.float64)


def _largest_corner_shift(homography: Homography, size_hw: tuple[int, ...]) -> float:
    height, width = size_hw
    corners = np.array([[[0, 0]], [[width, 0]], [[0, height]], [[width, height]]], dtype=np.float64)
    moved = cv2.perspectiveTransform(corners, homography)
    return float(np.linalg.norm((moved - corners).reshape(-1, 2), axis=1).max())
