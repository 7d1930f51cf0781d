"""Planted scenes: images of a known background, with people whose masks are known."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.matting import PlateBlock
from labeling.background.coverage import MaskedPlate
from labeling.background.masked_plate import build_plate
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.masks import BoolArray, Mask
from tests.labeling.segmenters.images import save_images


def texture(seed: int = 0, size_hw: tuple[int, int] = (96, 240)) -> RgbImage:
    """Draw blurred noise from 40 to 210 with details to align."""
    noise = np.random.default_rng(seed).standard_normal((*size_hw, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    scaled = 125 + 28 * smooth / smooth.std()
    return np.asarray(np.clip(scaled, 40, 210), dtype=np.uint8)


def add_noise(rgb: NDArray[np.number], sigma: float, seed: int) -> RgbImage:
    noise = np.random.default_rng(seed).normal(0, sigma, rgb.shape)
    return np.clip(rgb + noise + 0.5, 0, 255).astype(np.uint8)


def columns(start: int, stop: int, size_hw: tuple[int, int] = (96, 240)) -> BoolArray:
    """Return a mask of whole columns: dilated by n pixels, it is n columns wider on both sides."""
    mask = np.zeros(size_hw, dtype=bool)
    mask[:, start:stop] = True
    return mask


def walk(background: RgbImage, count: int, *, width: int = 20) -> tuple[list[RgbImage], list[BoolArray]]:
    """Let a red stripe cross the image from left to right."""
    images, masks = [], []
    for left in np.linspace(0, background.shape[1] - width, count).astype(int):
        mask = columns(left, left + width, (background.shape[0], background.shape[1]))
        images.append(np.where(mask[..., None], np.array([220, 20, 30], np.uint8), background))
        masks.append(mask)
    return images, masks


class PlantedPeople:
    """Finds the planted masks by the frames' indices, and counts the frames of each call."""

    def __init__(self, masks: Sequence[BoolArray]) -> None:
        self._masks = [Mask.from_array(mask) for mask in masks]
        self.calls: list[int] = []

    def __call__(self, frames: Sequence[Frame]) -> list[Mask]:
        self.calls.append(len(frames))
        return [self._masks[frame.key] for frame in frames]


def plate_of(
    images: Sequence[RgbImage],
    masks: Sequence[BoolArray],
    folder: Path,
    settings: PlateBlock | None = None,
) -> MaskedPlate:
    clip = save_images(images, folder)
    return build_plate(clip, PlantedPeople(masks), settings or PlateBlock())


def shake(background: RgbImage, seed: int, *, largest_px: float) -> NDArray[np.float64]:
    """Return a homography that moves the image's corners by up to `largest_px`, and all of them together."""
    height, width = background.shape[:2]
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    together = rng.uniform(-1, 1, 2) * 0.7 * largest_px
    moved = corners + together + rng.uniform(-1, 1, (4, 2)) * 0.3 * largest_px
    return np.asarray(cv2.getPerspectiveTransform(corners, moved.astype(np.float32)), dtype=np.float64)


def view(wide: RgbImage, homography: NDArray[np.float64], margin: int) -> RgbImage:
    """Show a wide background through a moved camera: reference pixel x appears at `homography @ x`."""
    height, width = wide.shape[0] - 2 * margin, wide.shape[1] - 2 * margin
    shift = np.array([[1, 0, -margin], [0, 1, -margin], [0, 0, 1]], dtype=np.float64)
    moved = cv2.warpPerspective(wide, homography @ shift, (width, height), flags=cv2.INTER_CUBIC)
    return moved.astype(np.uint8)
