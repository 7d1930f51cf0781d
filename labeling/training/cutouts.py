"""People cut out of labeled images, and cut-outs with an alpha channel."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from labeling.structures.cutouts import NO_KEYPOINTS, Cutout
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance, Keypoints
from labeling.structures.masks import Mask, iou_matrix

FloatImage = NDArray[np.float32]
MIN_HEIGHT_PX, MIN_WIDTH_PX, MIN_AREA_PX = 90, 25, 4000
"""Smaller people are blurred when they are enlarged to the network's input."""
MAX_SIDE_PX = 1024
"""Larger cut-outs are reduced, and larger backgrounds."""
MARGIN = 0.05
"""Added to each side of a person's box, as a share of its longer side."""
RIM_PX = 2
"""Pixels inside a mask's contour that may show the old background; their color is replaced."""
SAME_PERSON_IOU = 0.5
"""The keypoints of a found person belong to a labeled one if their masks overlap by more than this IoU."""
_RGBA_CHANNELS = 4


def is_usable(mask: Mask) -> bool:
    """Return whether a person is large enough, and not cut off at the left or right border."""
    left, _, width, height = mask.box_xywh
    is_large = height >= MIN_HEIGHT_PX and width >= MIN_WIDTH_PX and mask.area_px >= MIN_AREA_PX
    return is_large and left > 1 and left + width < mask.size_hw[1] - 1


def cut_out(rgb: RgbImage, mask: Mask, keypoints: Keypoints = NO_KEYPOINTS) -> Cutout:
    """Cut a person out of an image; alpha is 0 or 1, and colors near the contour come from inside."""
    left, top, width, height = (int(side) for side in mask.box_xywh)
    margin = max(4, int(MARGIN * max(width, height)))
    x0, y0 = max(0, left - margin), max(0, top - margin)
    box = (slice(y0, top + height + margin), slice(x0, left + width + margin))
    alpha = mask.to_array()[box].astype(np.float32)
    moved = tuple((x - x0, y - y0, score) for x, y, score in keypoints)
    return _reduce(Cutout(_clean_rim(rgb[box], alpha), alpha, moved))


def read_cutout(path: Path) -> Cutout:
    """Read a person with an alpha channel, without keypoints.

    Raises:
        ConfigError: it is not an image with red, green, blue and alpha, or alpha is 0 everywhere.
    """
    try:
        decoded = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error) as exc:
        raise ConfigError(f"cut-out {path} cannot be read: {exc}; replace or remove it") from exc
    if decoded is None or decoded.ndim != 3 or decoded.shape[2] != _RGBA_CHANNELS:  # noqa: PLR2004 - HxWxC
        raise ConfigError(f"cut-out {path} has no alpha channel: save it as a PNG with transparency")
    rgba = (decoded // 257 if decoded.dtype == np.uint16 else decoded).astype(np.uint8)
    rows, columns = np.nonzero(rgba[..., 3])
    if not len(rows):
        raise ConfigError(f"cut-out {path} is wholly transparent: remove it")
    box = rgba[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    padded = cv2.copyMakeBorder(box, 4, 4, 4, 4, cv2.BORDER_CONSTANT)
    alpha = (padded[..., 3] / np.float32(255)).astype(np.float32)
    rgb = cv2.cvtColor(padded[..., :3], cv2.COLOR_BGR2RGB)
    return _reduce(Cutout(extend_color(rgb.astype(np.float32), alpha), alpha))


def find_keypoints(mask: Mask, found: Sequence[Instance]) -> Keypoints:
    """Return the keypoints of the found person with the same mask; those of no person if there is none."""
    if not found:
        return NO_KEYPOINTS
    ious = iou_matrix([mask], [instance.mask for instance in found])[0]
    best = int(ious.argmax())
    keypoints = found[best].keypoints
    return keypoints if keypoints and ious[best] > SAME_PERSON_IOU else NO_KEYPOINTS


def reduce_image(rgb: RgbImage) -> RgbImage:
    """Return an image whose longer side is at most `MAX_SIDE_PX`."""
    scale = MAX_SIDE_PX / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    size_wh = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8)


def fingerprint_images(images: Sequence[RgbImage]) -> str:
    """Return the SHA-256 of decoded images, in order."""
    return _fingerprint(images)


def fingerprint_cutouts(cutouts: Sequence[Cutout]) -> str:
    """Return the SHA-256 of cut-outs with their alpha and keypoints, in order."""
    return _fingerprint(
        array
        for cutout in cutouts
        for array in (cutout.rgb, cutout.alpha, np.array(cutout.keypoints).round(2))
    )


def _fingerprint(arrays: Iterable[NDArray[Any]]) -> str:
    digest = sha256()
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _clean_rim(rgb: RgbImage, alpha: FloatImage) -> RgbImage:
    """Replace the colors around the contour by those from inside."""
    kernel = np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8)
    inner = cv2.erode(alpha, kernel, borderValue=1.0).astype(np.float32)
    cleaned = extend_color(rgb.astype(np.float32), inner)
    is_reached = cv2.GaussianBlur(inner, (0, 0), 3) > 1e-3  # noqa: PLR2004 - narrow parts keep their color
    return np.where(is_reached[..., None], cleaned, rgb).astype(np.uint8)


def _reduce(cutout: Cutout) -> Cutout:
    scale = MAX_SIDE_PX / max(cutout.alpha.shape)
    if scale >= 1:
        return cutout
    rgb = reduce_image(cutout.rgb)
    alpha = cv2.resize(cutout.alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    points = tuple((x * scale, y * scale, score) for x, y, score in cutout.keypoints)
    return Cutout(rgb, alpha, points)


def extend_color(rgb: FloatImage, coverage: FloatImage) -> RgbImage:
    """Continue the colors of pixels that are wholly covered beyond the contour: it has no rim of other colors."""
    near = cv2.GaussianBlur(np.dstack([rgb * coverage[..., None], coverage]), (0, 0), 3)
    outside = near[..., :3] / np.maximum(near[..., 3:], 1e-3)
    solid = (coverage > 0.99)[..., None]  # noqa: PLR2004
    return np.clip(np.where(solid, rgb, outside), 0, 255).astype(np.uint8)
