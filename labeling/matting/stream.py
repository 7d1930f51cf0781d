"""The mattes of a clip, frame by frame: memory does not grow with its length.

The frame at one time is matted with the people found in it, and with those found up to `KEEP_PEOPLE_S`
before or after it that are missing in it. A frame's matte therefore depends on this stretch of the clip
only, and an interrupted clip continues with equal results.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

import numpy as np
from more_itertools import batched

from configs.errors import UnsupportedVideo
from labeling.background.coverage import Coverage, MaskedPlate
from labeling.matting.frame import MattedFrame, MattingFrame, matte_frames
from labeling.matting.inputs import MOTION_STEP_S, MOTION_STEPS, GrayImage, to_gray
from labeling.matting.missing_people import MissingPerson, find_missing, locate_missing
from labeling.matting.network import MattingNetwork
from labeling.matting.plate_difference import hides_plate
from labeling.matting.plate_fit import fit_plate
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.images import resize_image
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, union_masks
from labeling.video.decode import Decoded, decode_clip

FindInstances = Callable[[Sequence[Frame]], list[list[Instance]]]
BATCH = 4
"""Frames per call of a network."""
KEEP_PEOPLE_S = Fraction(2, 5)
"""A person who is not found is looked for near the place where they are found up to this time before or after."""
MAX_AHEAD = 12
"""Frames kept in memory to look ahead; fast cameras take more in `KEEP_PEOPLE_S`."""
REACH_S = Fraction(MOTION_STEP_S).limit_denominator(1000) * max(MOTION_STEPS)
"""Seconds to the furthest neighbor."""
MOTION_HEIGHT_PX = 540
"""Rows of the gray neighbors; taller frames are reduced."""
MIN_FRAMES = 5
"""A clip with fewer frames has no motion input."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    index: int
    decoded: Decoded
    people: Sequence[Instance]
    missing: Sequence[MissingPerson] = ()

    @property
    def t(self) -> Fraction:
        return self.decoded.t


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
                yield MattedFrame(item.index, item.t, frame.rgb, tuple(frame.people), matte)


def prepare_frames(
    clip: Clip, find: FindInstances, plate: MaskedPlate, *, every: int
) -> Iterator[MattingFrame]:
    """Yield one in `every` frames of a clip, with what the network needs and the people found in it."""
    neighbors = _Neighbors(clip) if clip.is_temporal else None
    for batch in batched(islice(enumerate(decode_clip(clip)), 0, None, every), BATCH):
        frames = [to_frame(clip, decoded, index) for index, decoded in batch]
        for (index, decoded), people in zip(batch, find(frames), strict=True):
            yield _prepare(_Found(index, decoded, people), plate, neighbors)


def _batch_start(index: int) -> int:
    """Return the first position of the batch of a frame: networks may round differently in other batches."""
    return index - index % BATCH


def _with_people(clip: Clip, find: FindInstances, start: int) -> Iterator[_Found]:
    """Yield the frames from `start` on with the people found in them, and those who are missing."""
    found = _find_people(clip, find, start)
    if not clip.is_temporal:
        yield from (item for item in found if item.index >= start)
        return
    before: deque[tuple[Fraction, Sequence[Instance]]] = deque()
    for item, ahead in _with_ahead(found):
        while before and before[0][0] < item.t - KEEP_PEOPLE_S:
            before.popleft()
        if item.index >= start:
            others = [(item.t - t, people) for t, people in before]
            others += [(later.t - item.t, later.people) for later in ahead]
            others.sort(key=lambda other: other[0])
            yield replace(item, missing=find_missing(item.people, others))
        before.append((item.t, item.people))


def _with_ahead(found: Iterable[_Found]) -> Iterator[tuple[_Found, list[_Found]]]:
    """Yield each frame with those up to `KEEP_PEOPLE_S` after it, at most `MAX_AHEAD`."""
    waiting: deque[_Found] = deque()
    for item in found:
        waiting.append(item)
        while waiting[0].t < item.t - KEEP_PEOPLE_S or len(waiting) > MAX_AHEAD + 1:
            first = waiting.popleft()
            yield first, [one for one in list(waiting)[:MAX_AHEAD] if one.t <= first.t + KEEP_PEOPLE_S]
    while waiting:
        yield waiting.popleft(), list(waiting)


def _find_people(clip: Clip, find: FindInstances, start: int) -> Iterator[_Found]:
    for batch in batched(_from(clip, start), BATCH):
        frames = [to_frame(clip, decoded, index) for index, decoded in batch]
        for (index, decoded), people in zip(batch, find(frames), strict=True):
            yield _Found(index, decoded, people)


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


def check_size(rgb: RgbImage, size_hw: tuple[int, ...], *, what: str, t: Fraction, other: str) -> None:
    """Raise `UnsupportedVideo` if an image does not have the size of `other`."""
    height, width = rgb.shape[:2]
    if (height, width) != size_hw:
        raise UnsupportedVideo(
            f"{what} at {float(t):.2f} s has {width}x{height} px, {other} {size_hw[1]}x{size_hw[0]}: cut the "
            "video where its size changes"
        )


def to_frame(clip: Clip, decoded: Decoded, index: int) -> Frame:
    return Frame(clip.video_id, decoded.pts_ms, decoded.to_rgb(), t=decoded.t, index=decoded.index)


def _prepare(item: _Found, plate: MaskedPlate, neighbors: "_Neighbors | None") -> MattingFrame:
    rgb = item.decoded.to_rgb()
    check_size(rgb, plate.rgb.shape[:2], what=f"frame {item.index}", t=item.t, other="the background plate")
    motion = neighbors.around(item.t, item.index) if neighbors else None
    if not item.people and not item.missing:
        return MattingFrame(rgb, plate.rgb, plate.valid, (), None)
    claimed = [*item.people, *(missing.person for missing in item.missing)]
    lit, is_seen = fit_plate(plate, rgb, claimed)
    people = [*item.people, *locate_missing(item.missing, rgb, lit, is_seen, item.people)]
    known = is_seen & ~_always_covered(plate, people)
    shown = [person for person in people if hides_plate(rgb, lit, known, person)]
    return MattingFrame(rgb, lit, known, shown, motion)


def _always_covered(plate: MaskedPlate, people: Sequence[Instance]) -> BoolArray:
    """Return the pixels of people that masks cover in all frames: the plate may show the people, HxW."""
    covered: BoolArray = plate.coverage == Coverage.LEAST_MOTION
    if not covered.any():
        return covered
    size_hw = (covered.shape[0], covered.shape[1])
    return np.logical_and(covered, union_masks([person.mask for person in people], size_hw).to_array())


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
