"""Images that are in two files, or nearly: encoded again, cropped, mirrored.

They are found as near-duplicates of dataset versions are: see `labeling.datasets.splits.neighbors`.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labeling.datasets.splits.descriptors import SIDE, Thumbnails, describe_rgb
from labeling.datasets.splits.neighbors import nearest_frames
from labeling.datasets.splits.thumbnail_file import ThumbnailFile
from labeling.structures.frames import RgbImage

_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Leak:
    """An image of one file, and the most similar image of another, each as (split, file name)."""

    first: tuple[str, str]
    second: tuple[str, str]
    similarity: float
    """1: the same image; see `labeling.datasets.splits.similarity`."""


@dataclass(slots=True)
class SplitImages:
    """The images of one file: their names, and a small gray image of each (1 KB; its record in the file takes more)."""

    split: str
    names: list[str] = field(default_factory=list)
    _small: bytearray = field(default_factory=bytearray)

    def add(self, name: str, rgb: RgbImage) -> None:
        self.names.append(name)
        self._small += describe_rgb(rgb).tobytes()

    def thumbnails(self) -> Thumbnails:
        return np.frombuffer(self._small, np.uint8).reshape(-1, SIDE, SIDE)


def find_leaks(splits: Sequence[SplitImages], *, min_similarity: float) -> list[Leak]:
    """Return each image of a file with the most similar one of another, if it is at least so similar; those first.

    The images of the smaller file of two are compared with all of the larger one.
    """
    starts = np.cumsum([0, *(len(split.names) for split in splits)]).tolist()
    pairs = list(combinations(zip(splits, starts, strict=False), 2))
    if not pairs:
        return []
    with (
        tempfile.TemporaryDirectory() as folder,
        ThumbnailFile(starts[-1], Path(folder)) as file,
    ):
        for split, start in zip(splits, starts, strict=False):
            small, positions = split.thumbnails(), _positions(split, start)
            for at in range(0, len(small), _AT_ONCE):
                file.put(positions[at : at + _AT_ONCE], small[at : at + _AT_ONCE])
        found = [
            leak for pair in pairs for leak in _compare(file, *pair) if leak.similarity >= min_similarity
        ]
    return sorted(found, key=lambda leak: (-leak.similarity, leak.first, leak.second))


def _compare(
    file: ThumbnailFile, first: tuple[SplitImages, int], second: tuple[SplitImages, int]
) -> Iterator[Leak]:
    """Yield the most similar image of the larger file for each one of the smaller."""
    queries, references = sorted((first, second), key=lambda one: len(one[0].names))
    nearest = nearest_frames(file, _positions(*queries), _positions(*references))
    for number, (at, similarity) in enumerate(
        zip(nearest.positions.tolist(), nearest.similarities.tolist(), strict=True)
    ):
        if at >= 0:
            one = (queries[0].split, queries[0].names[number])
            other = (references[0].split, references[0].names[at - references[1]])
            low, high = (one, other) if queries is first else (other, one)
            yield Leak(low, high, round(similarity, 4))


def _positions(split: SplitImages, start: int) -> NDArray[np.int64]:
    return np.arange(start, start + len(split.names))
