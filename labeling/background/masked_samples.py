"""Samples of a clip with the pixels of their background, found with the masks of people."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack

import cv2
import numpy as np
from more_itertools import chunked

from configs.errors import ModelOutputWrong
from labeling.background.plate import disc_kernel
from labeling.background.sample_store import SampleStore
from labeling.background.samples import check_size, no_image_error, sample_frames
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask, union_masks

FindPeople = Callable[[Sequence[Frame]], list[Mask]]
"""Returns the union of the person masks of each frame."""

BATCH_FRAMES = 8
DILATE_PX = 3
"""Least dilation of a mask: a mask is rarely exact to the pixel."""
DILATE_SHARE = 0.005
"""Dilation as a share of the image's diagonal, for larger images."""


def find_people_with(segment: Callable[[Sequence[Frame]], list[list[Instance]]]) -> FindPeople:
    """Return a function that joins the masks that a segmenter finds."""

    def find_people(frames: Sequence[Frame]) -> list[Mask]:
        return [
            union_masks([person.mask for person in people], frame.size_hw)
            for frame, people in zip(frames, segment(frames), strict=True)
        ]

    return find_people


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
