"""The people of a clip whose camera moves: found, looked for again where they are lost, averaged along the motion.

All of this happens within a shot, and looking again within blocks of frames that are counted from the clip's first one. So a
frame's result depends on the stretch of the clip around it alone, an interrupted clip continues with equal results, and memory
does not grow with the clip's length.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from more_itertools import batched, split_when
from numpy.typing import NDArray

from labeling.matting.lost_people import LookIntoBoxes, find_lost
from labeling.matting.motion_average import REACH, FloatImage, Step, average_around, find_step
from labeling.matting.stream import BATCH, FindInstances, check_size, to_frame
from labeling.matting.temporal_inputs import to_map
from labeling.structures.frames import Clip, Frame, LumaImage
from labeling.structures.instances import Instance
from labeling.structures.masks import union_masks
from labeling.video.decode import decode_clip
from labeling.video.luma import shrink_luma
from labeling.video.shots import begins_a_shot

Reduce = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Scales a frame or a map to the size in which people are followed."""
BLOCK = 24
"""Frames within which a lost person is looked for; a multiple of `BATCH`."""
THUMBNAIL_PX = 64


@dataclass(frozen=True, slots=True)
class Finder:
    """How people are found: in whole frames, and in boxes; without the second, nobody is looked for again."""

    find: FindInstances
    look: LookIntoBoxes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FollowedFrame:
    """A frame with the people in it."""

    index: int
    frame: Frame
    people: tuple[Instance, ...]
    begins_shot: bool
    """Not said of the clip's first frame."""
    probability: FloatImage
    """Of a person, averaged along the motion, in [0, 1], in the reduced size."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    index: int
    frame: Frame
    people: tuple[Instance, ...]
    begins_shot: bool
    thumbnail: LumaImage
    """Of which cuts are found."""
    luma: LumaImage
    step: Step | None
    """From the frame before, within the shot."""


def follow_people(
    clip: Clip, finder: Finder, reduce: Reduce, *, shot_threshold: float, start: int = 0
) -> Iterator[FollowedFrame]:
    """Yield the frames of a clip from position `start` on.

    Raises:
        SourceError: the clip cannot be read; `UnsupportedVideo`: a frame has another size than the first one.
    """
    seen = _see(clip, finder.find, reduce, shot_threshold, max(0, start - REACH))
    complete = _add_lost(seen, finder.look) if finder.look else seen
    yield from (item for item in _average(complete, reduce) if item.index >= start)


def _see(
    clip: Clip, find: FindInstances, reduce: Reduce, shot_threshold: float, first: int
) -> Iterator[_Seen]:
    """Yield the frames from the block of `first` on, with the people found in them."""
    before: _Seen | None = None
    for index, frame, people in _segment(clip, find, first - first % BLOCK):
        size_hw = before.frame.size_hw if before else frame.size_hw
        check_size(frame.rgb, size_hw, what=f"frame {index}", t=frame.t, other="the first frame")
        thumbnail = shrink_luma(frame.rgb, THUMBNAIL_PX)
        begins_shot = before is not None and begins_a_shot(
            before.thumbnail, thumbnail, shot_threshold=shot_threshold
        )
        luma = cv2.cvtColor(reduce(frame.rgb), cv2.COLOR_RGB2GRAY).astype(np.uint8)
        step = None
        if before and not begins_shot:
            step = find_step(before.luma, luma, dt_s=float(frame.t - before.frame.t))
        before = _Seen(index, frame, people, begins_shot, thumbnail, luma, step)
        yield before


def _segment(
    clip: Clip, find: FindInstances, first: int
) -> Iterator[tuple[int, Frame, tuple[Instance, ...]]]:
    """Yield the frames from `first` on with the people found in them, segmented in whole batches."""
    kept = ((index, decoded) for index, decoded in enumerate(decode_clip(clip)) if index >= first)
    for batch in batched(kept, BATCH):
        frames = [to_frame(clip, decoded, index) for index, decoded in batch]
        for (index, _), frame, people in zip(batch, frames, find(frames), strict=True):
            yield index, frame, tuple(people)


def _add_lost(seen: Iterator[_Seen], look: LookIntoBoxes) -> Iterator[_Seen]:
    """Yield the frames with the people, too, who are found only by looking where they must be."""
    for block in split_when(seen, lambda _, after: after.begins_shot or after.index % BLOCK == 0):
        frames = [item.frame for item in block]
        steps = [item.step for item in block[1:]]
        lost = find_lost(frames, [item.people for item in block], steps, look)
        for item, people in zip(block, lost, strict=True):
            yield replace(item, people=(*item.people, *people))


def _average(seen: Iterator[_Seen], reduce: Reduce) -> Iterator[FollowedFrame]:
    """Yield the frames with their person probability, averaged over the frames of the shot around each."""
    window, maps, at = list[_Seen](), list[FloatImage](), 0
    for item in seen:
        if item.begins_shot:
            yield from (_follow(window, maps, place) for place in range(at, len(window)))
            window, maps, at = [], [], 0
        window.append(item)
        maps.append(_to_map(item, reduce))
        if len(window) - at > REACH:
            yield _follow(window, maps, at)
            at += 1
            dropped = max(0, at - REACH)
            window, maps, at = window[dropped:], maps[dropped:], at - dropped
    yield from (_follow(window, maps, place) for place in range(at, len(window)))


def _to_map(item: _Seen, reduce: Reduce) -> FloatImage:
    pixels = union_masks([person.mask for person in item.people], item.frame.size_hw).to_array()
    return to_map(reduce(pixels * np.uint8(255)))


def _follow(window: Sequence[_Seen], maps: Sequence[FloatImage], at: int) -> FollowedFrame:
    item = window[at]
    probability = average_around(maps, [one.step for one in window[1:]], at)
    return FollowedFrame(item.index, item.frame, item.people, item.begins_shot, probability)
