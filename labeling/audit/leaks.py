"""Images that are in two splits, or nearly: their perceptual hashes differ in few bits."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.video.luma import HASH_SIDE, hash_luma, shrink_luma

HASHED_WIDTH_PX = 640
"""As for the frames of a run."""
_WORDS = HASH_SIDE * HASH_SIDE // 64
_ROWS = 32
"""Hashes of one split compared at once, so that the memory does not grow with the product of the splits."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Two images of different splits, each as (split, file name)."""

    first: tuple[str, str]
    second: tuple[str, str]
    distance: int
    """Bits of 256 in which their hashes differ; 0 also for the same image saved twice."""


@dataclass(slots=True)
class SplitHashes:
    """File names and hashes of one split's images: 32 bytes each."""

    split: str
    names: list[str] = field(default_factory=list)
    _hashes: list[bytes] = field(default_factory=list)

    def add(self, name: str, rgb: RgbImage) -> None:
        bits = hash_luma(shrink_luma(rgb, HASHED_WIDTH_PX)).hash
        self.names.append(name)
        self._hashes.append(np.packbits(bits).tobytes())

    def words(self) -> NDArray[np.uint64]:
        """Return the hashes, (images, 4)."""
        return np.frombuffer(b"".join(self._hashes), dtype=np.uint64).reshape(-1, _WORDS)


def find_leaks(splits: list[SplitHashes], *, max_distance: int) -> list[Leak]:
    """Return pairs of images of different splits whose hashes differ in at most `max_distance` bits, nearest first."""
    found = [leak for pair in combinations(splits, 2) for leak in _compare(*pair, max_distance)]
    return sorted(found, key=lambda leak: (leak.distance, leak.first, leak.second))


def _compare(first: SplitHashes, second: SplitHashes, max_distance: int) -> Iterator[Leak]:
    rows, columns = first.words(), second.words()
    for start in range(0, len(rows), _ROWS):
        distances = sum(
            np.bitwise_count(rows[start : start + _ROWS, None, word] ^ columns[None, :, word]).astype(
                np.int16
            )
            for word in range(_WORDS)
        )
        for row, column in np.argwhere(distances <= max_distance):
            yield Leak(
                (first.split, first.names[start + row]),
                (second.split, second.names[column]),
                int(distances[row, column]),
            )
