"""Folders of mattes, ground truth and images for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def save_images(folder: Path, images: Mapping[str, NDArray[Any]]) -> Path:
    """Save arrays by file name: gray of 8 or 16 bits, or RGB."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in images.items():
        Image.fromarray(values).save(folder / name)
    return folder


def gray(rows: int, columns: int, level: int = 0) -> NDArray[np.uint8]:
    return np.full((rows, columns), level, np.uint8)
