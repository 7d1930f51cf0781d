"""Images of a clip and the pixels of their background, outside of memory."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from labeling.background.disk_stack import DiskStack
from labeling.background.plate import Stack
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.images import thumbnail
from labeling.structures.masks import BoolArray

BAND_BYTES = 16 << 20
"""Size of a band of rows of all samples."""


class SampleStore:
    """Images of one size with their background pixels, in order of time; a context manager."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self.size_hw = size_hw
        self.images = DiskStack((*size_hw, 3), np.uint8)
        self._seen = DiskStack(size_hw, np.bool_)
        self.keys: list[int] = []
        """Keys of the frames that were added."""
        self.thumbnails: list[NDArray[np.float32]] = []
        """Small copies of the images that were added."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.images.close()
        self._seen.close()

    def __len__(self) -> int:
        return len(self.images)

    def add(self, frame: Frame, seen: BoolArray) -> None:
        self.images.append(frame.rgb)
        self._seen.append(seen)
        self.keys.append(frame.key)
        self.thumbnails.append(thumbnail(frame.rgb))

    def get(self, index: int) -> tuple[RgbImage, BoolArray]:
        """Return an image, HxWx3, and its background pixels, HxW."""
        return self.images[index], self._seen[index]

    def replace_all(self, samples: Iterable[tuple[RgbImage, BoolArray]]) -> None:
        """Replace the samples by as many or fewer; each may be computed when its predecessors are replaced."""
        count = 0
        for image, seen in samples:
            self.images[count], self._seen[count] = image, seen
            count += 1
        self.images.truncate(count)
        self._seen.truncate(count)

    def bands(self) -> Iterator[tuple[slice, Stack, BoolArray]]:
        """Yield rows, and these rows of all images (NxhxWx3) and of their background pixels (NxhxW)."""
        height, width = self.size_hw
        band_rows = max(1, BAND_BYTES // (4 * width * max(1, len(self))))
        for top in range(0, height, band_rows):
            rows = slice(top, min(top + band_rows, height))
            yield rows, self.images.rows(rows), self._seen.rows(rows)
