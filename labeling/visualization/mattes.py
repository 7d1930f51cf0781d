"""Images of a matte beside its ground truth."""

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray
from labeling.visualization.contact_sheet import BACKGROUND, encode_jpeg
from labeling.visualization.frames import STUDENT, TEACHER

TILE_WIDTH_PX = 640
_QUALITY = 82
_UNKNOWN = (90, 90, 110)
_GAP_PX = 4


def matte_jpeg(
    alpha: NDArray[np.float32],
    truth: NDArray[np.float32],
    known: BoolArray,
    *,
    rgb: RgbImage | None = None,
) -> bytes:
    """Return `draw_matte` as a JPEG, scaled down to `TILE_WIDTH_PX` if it is wider."""
    drawn = draw_matte(alpha, truth, known, rgb=rgb)
    if drawn.shape[1] > TILE_WIDTH_PX:
        size_wh = (TILE_WIDTH_PX, max(1, round(drawn.shape[0] * TILE_WIDTH_PX / drawn.shape[1])))
        drawn = np.asarray(cv2.resize(drawn, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return encode_jpeg(drawn, quality=_QUALITY)


def draw_matte(
    alpha: NDArray[np.float32],
    truth: NDArray[np.float32],
    known: BoolArray,
    *,
    rgb: RgbImage | None = None,
) -> RgbImage:
    """Draw image and matte, below them ground truth and difference: blue where alpha lacks, orange where it exceeds.

    Without an image, its quarter is left free. Pixels whose ground truth is not decided are gray in both lower quarters.
    """
    difference = np.where(known, alpha - truth, 0)[..., None]
    tinted = np.maximum(difference, 0) * np.array(STUDENT) + np.maximum(-difference, 0) * np.array(TEACHER)
    lower = [np.repeat(255 * truth[..., None], 3, axis=2), tinted]
    for quarter in lower:
        quarter[~known] = _UNKNOWN
    free = np.full((*alpha.shape, 3), BACKGROUND)
    upper = [free if rgb is None else rgb, np.repeat(255 * alpha[..., None], 3, axis=2)]
    height, width = alpha.shape
    sheet = np.full((2 * height + _GAP_PX, 2 * width + _GAP_PX, 3), BACKGROUND, dtype=np.uint8)
    for row, quarters in enumerate((upper, lower)):
        for column, quarter in enumerate(quarters):
            top, left = row * (height + _GAP_PX), column * (width + _GAP_PX)
            sheet[top : top + height, left : left + width] = np.clip(quarter, 0, 255)
    return sheet
