"""Fake-motion clips with a segmenter's person probability, stored for a training: as few bytes as possible, parts read quickly.

000012.npy        TxHxWx12 bytes: image, foreground and background (3 each), alpha, probability and is_known (0 or 255)
000012.flow.npy   (T-1)xHxWx2 half floats: the people's motion to the next frame in pixels
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.storage.atomic import storage_errors, write_atomically
from labeling.synthetic.fake_motion import FakeFrame

IMAGE, FOREGROUND, BACKGROUND = slice(0, 3), slice(3, 6), slice(6, 9)
ALPHA, PROBABILITY, IS_KNOWN = 9, 10, 11
CHANNELS = 12


@dataclass(frozen=True, slots=True)
class StoredClip:
    """One clip, mapped into memory: only what is used is read."""

    frames: NDArray[np.uint8]
    flow: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class ClipStore:
    """A folder of clips."""

    folder: Path

    def has(self, index: int) -> bool:
        return self._frames(index).is_file()

    def write(self, index: int, frames: Sequence[FakeFrame], maps: Sequence[NDArray[np.float32]]) -> None:
        """Store a clip with each frame's person probability by a segmenter, HxW in [0, 1].

        Raises:
            StorageError: it cannot be written.
        """
        height, width = frames[0].alpha.shape
        stack = np.zeros((len(frames), height, width, CHANNELS), dtype=np.uint8)
        flow = np.zeros((len(frames) - 1, height, width, 2), dtype=np.float16)
        for i, (frame, values) in enumerate(zip(frames, maps, strict=True)):
            stack[i, ..., IMAGE] = frame.rgb
            stack[i, ..., FOREGROUND] = np.clip(frame.foreground + 0.5, 0, 255)
            stack[i, ..., BACKGROUND] = np.clip(frame.background + 0.5, 0, 255)
            stack[i, ..., ALPHA] = np.clip(frame.alpha * 255 + 0.5, 0, 255)
            stack[i, ..., PROBABILITY] = np.clip(values * 255 + 0.5, 0, 255)
            if frame.flow is not None and frame.is_known is not None and i < len(flow):
                stack[i, ..., IS_KNOWN] = frame.is_known * np.uint8(255)
                flow[i] = frame.flow
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._flow(index), _to_bytes(flow))
            write_atomically(self._frames(index), _to_bytes(stack))

    def read(self, index: int) -> StoredClip:
        """Map a clip into memory.

        Raises:
            StorageError: it cannot be read.
        """
        with storage_errors(self._frames(index)):
            frames = np.load(self._frames(index), mmap_mode="r", allow_pickle=False)
            flow = np.load(self._flow(index), mmap_mode="r", allow_pickle=False)
        return StoredClip(frames, flow)

    def _frames(self, index: int) -> Path:
        return self.folder / f"{index:06d}.npy"

    def _flow(self, index: int) -> Path:
        return self.folder / f"{index:06d}.flow.npy"


def _to_bytes(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()
