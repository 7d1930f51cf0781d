"""Small images and their vectors in temporary files: memory does not grow with the number of frames."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from labeling.datasets.splits.descriptors import COARSE, SIDE, Thumbnails, Vectors, coarse_vectors
from labeling.storage.atomic import WRITING_PREFIX


class ThumbnailFile:
    """The small images of frames, by position. A position that was never set is plain: like no other."""

    def __init__(self, frames: int, folder: Path) -> None:
        self.frames = frames
        self._folder = tempfile.TemporaryDirectory(dir=folder, prefix=f"{WRITING_PREFIX}thumbnails-")
        shape = (max(1, frames), SIDE, SIDE)
        self._thumbnails = np.memmap(self._path("images"), dtype=np.uint8, mode="w+", shape=shape)
        self._vectors = np.memmap(
            self._path("vectors"), dtype=np.float32, mode="w+", shape=(shape[0], COARSE)
        )

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._thumbnails, self._vectors
        self._folder.cleanup()

    def put(self, positions: NDArray[np.int64], thumbnails: Thumbnails) -> None:
        self._thumbnails[positions] = thumbnails
        self._vectors[positions] = coarse_vectors(thumbnails)

    def thumbnails(self, positions: NDArray[np.int64]) -> Thumbnails:
        return np.asarray(self._thumbnails[positions])

    def vectors(self, positions: NDArray[np.int64]) -> Vectors:
        return np.asarray(self._vectors[positions])
