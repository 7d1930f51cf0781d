"""Images with ground truth, shared by the tests of several segmenters."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labeling.structures.frames import Clip, Frame, ImageFile, RgbImage
from labeling.structures.masks import Mask, iou_matrix

VIDEO_ID = "ab" * 32


def make_frame(rgb: RgbImage, pts_ms: int = 0) -> Frame:
    return Frame(video_id="v", pts_ms=pts_ms, pixels=rgb)


def noise(height: int, width: int, seed: int = 0) -> RgbImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save_images(images: Sequence[RgbImage], folder: Path) -> Clip:
    """Write a folder of images."""
    files = []
    for position, image in enumerate(images):
        path = folder / f"{position:04d}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        files.append(ImageFile(position, path))
    return Clip(VIDEO_ID, images=tuple(files))


def read_rgb(path: Path) -> RgbImage:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.uint8)


def read_pennfudan(shared: Path, *, every: int) -> list[tuple[Frame, list[Mask]]]:
    """Every n-th image with the masks of its people."""
    folder = shared / "data" / "pennfudan"
    pairs = []
    for path in sorted((folder / "images").glob("*.jpg"))[::every]:
        (numbered,) = (folder / "masks").glob(f"{path.stem}*")
        numbers = np.asarray(Image.open(numbered))
        people = [Mask.from_array(numbers == number) for number in np.unique(numbers) if number]
        pairs.append((make_frame(read_rgb(path)), people))
    return pairs


def best_ious(found: Sequence[Mask], expected: Sequence[Mask]) -> NDArray[np.float64]:
    """Return for each expected mask the IoU of the best found one; 0 without any."""
    return np.asarray(iou_matrix(expected, found).max(axis=1, initial=0.0))
