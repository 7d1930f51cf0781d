"""Seeds of a graph cut: pixels that a skeleton shows to be the person, or not."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ExtraMissing
from labeling.pose_masks.prior import HEAD, HIPS, LIMBS, NECK, SHOULDERS, FloatArray, find_limbs
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray

FOREGROUND_RADIUS, BACKGROUND_RADIUS = 0.12, 1.0
"""Half widths of the skeleton, in distances from shoulder to hip: inside the thin one is the person, outside the
thick one the background."""
COMPACTNESS = 10.0
PIXELS_PER_SEGMENT = 400
"""Of SLIC."""
MIN_COVERED = 0.5
"""A segment belongs to the person as a whole if the thin skeleton covers a larger share of it."""
NO_TORSO = 0.25
"""Distance from shoulder to hip as a share of the joints' box, where it is not known."""
_SHIFT = 4


@dataclass(frozen=True, slots=True, eq=False)
class Seeds:
    """Pixels of the person and of the background, HxW each; the cut decides about the others."""

    foreground: BoolArray
    background: BoolArray


def find_seeds(rgb: RgbImage, joints: FloatArray) -> Seeds:
    """Return the seeds from joints (14x3, at least two found) in pixels of the image.

    Raises:
        ExtraMissing: scikit-image is not installed.
    """
    size_hw = (rgb.shape[0], rgb.shape[1])
    unit = torso_length(joints)
    thin = draw_skeleton(joints, FOREGROUND_RADIUS * unit, size_hw)
    thick = draw_skeleton(joints, BACKGROUND_RADIUS * unit, size_hw)
    segments = find_segments(rgb)
    covered = np.bincount(segments.ravel(), weights=thin.ravel()) / np.maximum(
        np.bincount(segments.ravel()), 1
    )
    line = draw_skeleton(joints, 0.5, size_hw)
    foreground = line | (thin & (covered > MIN_COVERED)[segments])
    return Seeds(foreground, ~thick)


def find_segments(rgb: RgbImage) -> NDArray[np.intp]:
    """Return the number of each pixel's SLIC segment, from 0, HxW."""
    try:
        from skimage.segmentation import slic
    except ImportError as exc:
        raise ExtraMissing(
            "method: graph_cut requires scikit-image, which is not installed: pip install 'maskmill[graphcut]'"
        ) from exc
    count = max(1, rgb.shape[0] * rgb.shape[1] // PIXELS_PER_SEGMENT)
    segments = slic(rgb, n_segments=count, compactness=COMPACTNESS, start_label=0)
    return np.asarray(segments, dtype=np.intp)


def draw_skeleton(joints: FloatArray, radius_px: float, size_hw: tuple[int, int]) -> BoolArray:
    """Return the limbs with a half width, HxW: limbs, shoulders, hips, and the torso."""
    image = np.zeros(size_hw, dtype=np.uint8)
    lines = [(start, end) for start, end, _ in find_limbs(joints)]
    for a, b in (SHOULDERS, HIPS, (NECK, HEAD), *LIMBS):
        if joints[a, 2] and joints[b, 2]:
            lines.append((joints[a, :2], joints[b, :2]))
    thickness = max(1, round(2 * radius_px))
    for start, end in lines:
        ends = [np.round(point * (1 << _SHIFT)).astype(int).tolist() for point in (start, end)]
        cv2.line(image, ends[0], ends[1], 1, thickness, cv2.LINE_8, _SHIFT)
    return image.astype(np.bool_)


def torso_length(joints: FloatArray) -> float:
    """Return the distance from the shoulders to the hips in pixels, or a guess from the box around the joints."""
    found = joints[:, 2] > 0
    tops, lows = ([joints[one, :2] for one in pair if found[one]] for pair in (SHOULDERS, HIPS))
    extent = float(np.ptp(joints[found, :2], axis=0).max()) if found.any() else 0.0
    if tops and lows:
        return max(float(np.hypot(*(np.mean(tops, axis=0) - np.mean(lows, axis=0)))), 0.1 * extent, 1.0)
    return max(NO_TORSO * extent, 1.0)
