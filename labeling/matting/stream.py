"""The mattes of a clip, frame by frame: memory does not grow with its length.

The frame at one time is matted with the people found in it, and with those found up to `KEEP_PEOPLE_S`
before it that are missing now: detectors lose a person for a frame or two. A frame's matte therefore
depends on this stretch of the clip only, and an interrupted clip continues with equal results.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

import numpy as np
from more_itertools import batched

from configs.errors import UnsupportedVideo
from labeling.background.coverage import MaskedPlate
from labeling.matting.frame import FrameMatte, MattingFrame, hides_plate, matte_frames
from labeling.matting.inputs import MOTION_STEP_S, MOTION_STEPS, GrayImage, to_gray
from labeling.matting.network import MattingNetwork
from labeling.matting.plate_fit import fit_plate
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.images import resize_image
from labeling.structures.instances import Instance
from labeling.structures.masks import iou_matrix
from labeling.video.decode import Decoded, decode_clip

FindInstances = Callable[[Sequence[Frame]], list[list[Instance]]]
BATCH = 4
"""Frames per call of a network."""
KEEP_PEOPLE_S = Fraction(2, 5)
"""A person who is no longer found is looked for at the same place for this time."""
SAME_PERSON_IOU = 0.2
"""A person found now is the one found before if their masks overlap by more than this IoU."""
REACH_S = Fraction(MOTION_STEP_S).limit_denominator(1000) * max(MOTION_STEPS)
"""Seconds to the furthest neighbor."""
MOTION_HEIGHT_PX = 540
"""Rows of the gray neighbors; taller frames are reduced."""
MIN_FRAMES = 5
"""A clip with fewer frames has no motion input."""


@dataclass(frozen=True, slots=True, eq=False)
class MattedFrame:
    """One frame of a clip with its matte."""

    index: int
    """Position in the clip, from 0."""
    t: Fraction
    """Presentation time in seconds."""
    rgb: RgbImage
    people: tuple[Instance, ...]
    matte: FrameMatte


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    index: int
    decoded: Decoded
    rgb: RgbImage
    people: tuple[Instance, ...]


def matte_clip(
    clip: Clip, find: FindInstances, network: MattingNetwork, plate: MaskedPlate, *, start: int = 0
) -> Iterator[MattedFrame]:
    """Yield the mattes of a clip's frames from position `start` on.

    Raises:
        SourceError: the clip cannot be read; `UnsupportedVideo`: a frame has another size than the plate.
    """
    neighbors = _Neighbors(clip) if clip.is_temporal else None
    for batch in batched(_with_people(clip, find, _batch_start(start)), BATCH):
        frames = [_prepare(item, plate, neighbors) for item in batch]
        for item, frame, matte in zip(batch, frames, matte_frames(network, frames), strict=True):
            if item.index >= start:
                yield MattedFrame(item.index, item.decoded.t, item.rgb, tuple(frame.people), matte)


def prepare_frames(
    clip: Clip, find: FindInstances, plate: MaskedPlate, *, every: int
) -> Iterator[MattingFrame]:
    """Yield one in `every` frames of a clip, with what the network needs and the people found in it."""
    neighbors = _Neighbors(clip) if clip.is_temporal else None
    for batch in batched(islice(enumerate(decode_clip(clip)), 0, None, every), BATCH):
        frames = [_to_frame(clip, decoded, index) for index, decoded in batch]
        for (index, decoded), frame, people in zip(batch, frames, find(frames), strict=True):
            yield _prepare(_Found(index, decoded, frame.rgb, tuple(people)), plate, neighbors)


def _batch_start(index: int) -> int:
    """Return the first position of the batch of a frame: networks may round differently in other batches."""
    return index - index % BATCH


def _with_people(clip: Clip, find: FindInstances, start: int) -> Iterator[_Found]:
    """Yield the frames from `start` on with the people found in them and shortly before."""
    recent: deque[tuple[Fraction, list[Instance]]] = deque()
    for batch in batched(_from(clip, start), BATCH):
        frames = [_to_frame(clip, decoded, index) for index, decoded in batch]
        for (index, decoded), frame, people in zip(batch, frames, find(frames), strict=True):
            while recent and recent[0][0] < decoded.t - KEEP_PEOPLE_S:
                recent.popleft()
            recent.append((decoded.t, people))
            if index >= start:
                kept = _merge_people(
                    [found for _, found in reversed(recent)] if clip.is_temporal else [people]
                )
                yield _Found(index, decoded, frame.rgb, tuple(kept))


def _from(clip: Clip, start: int) -> Iterator[tuple[int, Decoded]]:
    """Yield the frames from `KEEP_PEOPLE_S` before position `start` on, in whole batches, with their positions."""
    frames = enumerate(decode_clip(clip))
    waiting: deque[tuple[int, Decoded]] = deque()
    for index, decoded in frames:
        waiting.append((index, decoded))
        while len(waiting) > BATCH and waiting[BATCH - 1][1].t < decoded.t - KEEP_PEOPLE_S:
            for _ in range(BATCH):
                waiting.popleft()
        if index >= start:
            break
    if not waiting or waiting[-1][0] < start:
        return
    while waiting:
        yield waiting.popleft()
    yield from frames


def _to_frame(clip: Clip, decoded: Decoded, index: int) -> Frame:
    return Frame(clip.video_id, decoded.pts_ms, decoded.to_rgb(), t=decoded.t, index=decoded.index)


def _merge_people(found: Iterable[Sequence[Instance]]) -> list[Instance]:
    """Return the people of the first list, and from each longer one those that are missing so far.

    A list that is not longer adds no one: its people have moved, and none is missing.
    """
    people: list[Instance] = []
    for others in found:
        missing = len(others) - len(people)
        if missing <= 0:
            continue
        masks = [person.mask for person in people]
        ious = iou_matrix([other.mask for other in others], masks) if people else None
        unmatched = [
            other for i, other in enumerate(others) if ious is None or ious[i].max() <= SAME_PERSON_IOU
        ]
        people += unmatched[:missing]
    return people


def _prepare(item: _Found, plate: MaskedPlate, neighbors: "_Neighbors | None") -> MattingFrame:
    if item.rgb.shape != plate.rgb.shape:
        height, width = item.rgb.shape[:2]
        raise UnsupportedVideo(
            f"frame {item.index} at {float(item.decoded.t):.2f} s has {width}x{height} px, the background plate "
            f"{plate.rgb.shape[1]}x{plate.rgb.shape[0]}: cut the video where its size changes"
        )
    motion = neighbors.around(item.decoded.t, item.index) if neighbors else None
    if not item.people:
        return MattingFrame(item.rgb, plate.rgb, plate.valid, (), None)
    lit, is_seen = fit_plate(plate, item.rgb, item.people)
    people = [person for person in item.people if hides_plate(item.rgb, lit, is_seen, person)]
    return MattingFrame(item.rgb, lit, is_seen, people, motion)


class _Neighbors:
    """The gray frames before and after each frame, read by a second decoder that runs ahead."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._ahead: Iterator[Decoded] | None = None
        self._window: deque[tuple[Fraction, GrayImage]] = deque()
        self._count = 0
        """Frames of the clip that are known to exist, up to `MIN_FRAMES`."""

    def around(self, t: Fraction, index: int) -> list[GrayImage] | None:
        """Return the frames nearest to the `MOTION_STEPS` around the frame at `t`; times must not decrease.

        At the ends of the clip the first or last frame stands for the missing ones. None for a clip of
        fewer than `MIN_FRAMES` frames.
        """
        ahead = self._ahead = self._ahead or self._open(t, index)
        while self._count < MIN_FRAMES or not self._window or self._window[-1][0] < t + REACH_S:
            decoded = next(ahead, None)
            if decoded is None:
                break
            self._window.append((decoded.t, _reduced_gray(decoded.to_rgb())))
            self._count += 1
        while len(self._window) > 1 and self._window[1][0] <= t - REACH_S:
            self._window.popleft()
        if self._count < MIN_FRAMES:
            return None
        times = np.array([float(at) for at, _ in self._window])
        nearest = [int(np.abs(times - (float(t) + step * MOTION_STEP_S)).argmin()) for step in MOTION_STEPS]
        return [self._window[i][1] for i in nearest]

    def _open(self, t: Fraction, index: int) -> Iterator[Decoded]:
        """Decode from the first neighbor of the frame at `t` on: all frames before it would fill the memory."""
        first_s = self._clip.start_s
        if index < MIN_FRAMES or t - REACH_S <= first_s:
            return decode_clip(self._clip)
        self._count = MIN_FRAMES
        later = decode_clip(replace(self._clip, start_s=t - REACH_S), with_lead_in=True)
        return (decoded for decoded in later if decoded.t >= first_s)


def _reduced_gray(rgb: RgbImage) -> GrayImage:
    height, width = rgb.shape[:2]
    if height > MOTION_HEIGHT_PX:
        rgb = resize_image(rgb, (MOTION_HEIGHT_PX, max(1, round(width * MOTION_HEIGHT_PX / height))))
    return to_gray(rgb)
