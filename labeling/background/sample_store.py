"""Samples of a clip and the pixels of their background, outside of memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from more_itertools import chunked
from numpy.typing import NDArray

from configs.errors import ModelOutputWrong
from labeling.background.disk_stack import DiskStack
from labeling.background.plate import Stack, disc_kernel
from labeling.background.samples import check_size, no_image_error, sample_frames
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.images import thumbnail
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask, union_masks

FindPeople = Callable[[Sequence[Frame]], list[Mask]]
"""Returns the union of the person masks of each frame."""

BATCH_FRAMES = 8
DILATE_PX = 3
"""Least dilation of a mask: a mask is rarely exact to the pixel."""
DILATE_SHARE = 0.005
"""Dilation as a share of the image's diagonal, for larger images."""
BAND_BYTES = 16 << 20
"""Size of a band of rows of all samples."""


def find_people_with(segment: Callable[[Sequence[Frame]], list[list[Instance]]]) -> FindPeople:
    """Return a function that joins the masks that a segmenter finds."""

    def find_people(frames: Sequence[Frame]) -> list[Mask]:
        return [
            union_masks([person.mask for person in people], frame.size_hw)
            for frame, people in zip(frames, segment(frames), strict=True)
        ]

    return find_people


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


def gather_with_masks(clip: Clip, find_people: FindPeople, count: int) -> SampleStore:
    """Read up to `count` samples of a clip and the pixels outside their masks; the caller closes the store.

    Raises:
        SourceError: the clip cannot be read, or has no image.
        ModelOutputWrong: images or masks have several sizes.
    """
    frames = sample_frames(clip, count)
    with ExitStack() as on_error:
        store: SampleStore | None = None
        for frame, seen in find_background(clip, frames, find_people):
            if store is None:
                store = on_error.enter_context(SampleStore(frame.size_hw))
            check_size(clip, frame.size_hw, store.size_hw)
            store.add(frame, seen)
        on_error.pop_all()
    if store is None:
        raise no_image_error(clip)
    return store


def find_background(
    clip: Clip, frames: Iterable[Frame], find_people: FindPeople
) -> Iterator[tuple[Frame, BoolArray]]:
    """Yield each frame and its pixels outside the dilated person mask, HxW."""
    for batch in chunked(frames, BATCH_FRAMES):
        masks = find_people(batch)
        if len(masks) != len(batch):
            raise ModelOutputWrong(
                f"background: {len(masks)} masks for {len(batch)} frames of {clip.video_id[:12]}; "
                "return the union of the person masks for each frame, empty for no person"
            )
        for frame, mask in zip(batch, masks, strict=True):
            check_size(clip, mask.size_hw, frame.size_hw)
            yield frame, ~dilate_mask(mask)
        del batch, masks, frame, mask  # before the next frames are decoded


def dilate_mask(mask: Mask) -> BoolArray:
    """Return the mask's pixels, HxW, with a rim of 0.5 % of the diagonal, at least 3 pixels."""
    rim_px = max(DILATE_PX, round(DILATE_SHARE * float(np.hypot(*mask.size_hw))))
    pixels = np.ascontiguousarray(mask.to_array(), dtype=np.uint8)
    return cv2.dilate(pixels, disc_kernel(2 * rim_px + 1)).astype(bool)
