"""Images with ground truth that the tests of several segmenters look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labeling.structures.frames import Frame, RgbImage
from labeling.structures.masks import Mask, iou_matrix


def make_frame(rgb: RgbImage, t_ms: int = 0) -> Frame:
    return Frame(video_id="v", t_ms=t_ms, rgb=rgb)


def noise(height: int, width: int, seed: int = 0) -> RgbImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


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


def best_ious(found: Sequence[Mask], truth: Sequence[Mask]) -> NDArray[np.float64]:
    """For each true mask, the IoU of the best found one; 0 where nothing was found."""
    return np.asarray(iou_matrix(truth, found).max(axis=1, initial=0.0))
