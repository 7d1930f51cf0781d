"""Labeled frames on disk in a network's size, read in any order without decoding; memory does not grow with them.

images.bin     N x H x W x 3 bytes, RGB
labels.bin     N x H x W bytes: 0 background, 1 person, 2 not known
complete.json  the key of the content and N; written last, so a killed writer leaves no store
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.storage.atomic import storage_errors, write_atomically
from labeling.structures.frames import RgbImage
from labeling.structures.images import resize_image
from labeling.structures.masks import BoolArray

Labels = NDArray[np.uint8]
PERSON, UNKNOWN = 1, 2


@dataclass(frozen=True, slots=True)
class FrameStore:
    """Frames that were written; index them from 0."""

    folder: Path
    count: int
    size_hw: tuple[int, int]

    def read(self, index: int) -> tuple[RgbImage, Labels]:
        """Return an image, HxWx3, and its labels, HxW."""
        height, width = self.size_hw
        images = _open(self.folder / "images.bin", (self.count, height, width, 3))
        labels = _open(self.folder / "labels.bin", (self.count, height, width))
        return np.array(images[index]), np.array(labels[index])


@dataclass(frozen=True, slots=True)
class TrainingFrames:
    """What a student learns from, and what its checkpoint is chosen by."""

    train: FrameStore
    val: FrameStore
    base: FrameStore | None = None


@lru_cache(maxsize=16)
def _open(path: Path, shape: tuple[int, ...]) -> Any:
    """Map a file; a process does it once."""
    return np.memmap(path, dtype=np.uint8, mode="r", shape=shape)


def write_frames(
    folder: Path, key: str, frames: Iterable[tuple[RgbImage, Labels]], size_hw: tuple[int, int]
) -> FrameStore:
    """Write frames, scaled to `size_hw`; a store that has this key already is used as it is.

    Raises:
        StorageError: a file cannot be written.
    """
    if (found := _find_complete(folder, key, size_hw)) is not None:
        return found
    count = 0
    with storage_errors(folder, option="--to"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "complete.json").unlink(missing_ok=True)
        with (folder / "images.bin").open("wb") as images, (folder / "labels.bin").open("wb") as labels:
            for rgb, values in frames:
                images.write(np.ascontiguousarray(resize_image(rgb, size_hw)).tobytes())
                labels.write(_resize_labels(values, size_hw).tobytes())
                count += 1
        _open.cache_clear()
        write_atomically(folder / "complete.json", json.dumps({"key": key, "count": count}).encode())
    return FrameStore(folder, count, size_hw)


def _find_complete(folder: Path, key: str, size_hw: tuple[int, int]) -> FrameStore | None:
    try:
        found = json.loads((folder / "complete.json").read_bytes())
    except (OSError, ValueError):
        return None
    return FrameStore(folder, int(found["count"]), size_hw) if found.get("key") == key else None


def _resize_labels(labels: Labels, size_hw: tuple[int, int]) -> Labels:
    resized = cv2.resize(labels, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(resized, dtype=np.uint8)


def labels_of(person: BoolArray, unknown: BoolArray | None = None) -> Labels:
    """Return labels from a mask of people and one of pixels that are not known, both HxW.

    >>> labels_of(np.array([[True, False]]), np.array([[False, True]])).tolist()
    [[1, 2]]
    """
    labels = person.astype(np.uint8)
    if unknown is not None:
        labels[unknown] = UNKNOWN
    return labels
