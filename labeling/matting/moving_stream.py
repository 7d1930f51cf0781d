"""The mattes of a clip whose camera moves: the recurrent network follows the people from group to group of frames.

It is given each frame's person probability, averaged along the motion. Groups are counted from the first frame of a shot;
at a cut the network forgets everything. An interrupted clip continues from a state that was kept, with equal results.
Memory does not grow with the clip's length.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
from more_itertools import batched

from labeling.matting.frame import MattedFrame
from labeling.matting.motion_average import REACH, FloatImage, Step, average_around, find_step
from labeling.matting.stream import BATCH, FindInstances, check_size, to_frame
from labeling.matting.temporal_inputs import to_map
from labeling.matting.temporal_network import NetworkState, TemporalNetwork
from labeling.structures.frames import Clip, LumaImage, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import union_masks
from labeling.video.decode import Decoded, decode_clip
from labeling.video.luma import shrink_luma
from labeling.video.shots import begins_a_shot

THUMBNAIL_PX = 64
_INDEX = "index"


@dataclass(frozen=True, slots=True)
class StreamState:
    """Where a clip is continued, and what the network knows there; nothing at the start of a shot."""

    index: int
    network: NetworkState | None = None

    def to_bytes(self) -> bytes:
        content = io.BytesIO()
        arrays: dict[str, Any] = {_INDEX: np.int64(self.index), **(self.network or {})}
        np.savez(content, **arrays)
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "StreamState":
        """Raises `ValueError` if the content is damaged."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                index = int(arrays[_INDEX])
                network = {name: arrays[name] for name in arrays.files if name != _INDEX}
        except (OSError, KeyError, EOFError, ValueError, BadZipFile) as exc:
            raise ValueError(f"not the state of a stream: {exc}") from exc
        return cls(index, network or None)


@dataclass(frozen=True, slots=True, eq=False)
class MattedGroup:
    """Consecutive frames with their mattes, and the state after them."""

    frames: tuple[MattedFrame, ...]
    state: StreamState


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    index: int
    t: Fraction
    rgb: RgbImage
    people: tuple[Instance, ...]
    probability: FloatImage | None = None
    """Averaged along the motion, in [0, 1], in the size at which the network sees the frame."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A frame whose probability waits for those after it."""

    item: _Found
    is_first_of_shot: bool
    map: FloatImage
    luma: LumaImage
    step: Step | None
    """From the frame before."""


def matte_moving_clip(
    clip: Clip,
    find: FindInstances,
    network: TemporalNetwork,
    *,
    shot_threshold: float,
    start: StreamState | None = None,
) -> Iterator[MattedGroup]:
    """Yield the mattes of a clip's frames from `start` on, in groups of at most `network.group` frames.

    Raises:
        SourceError: the clip cannot be read; `UnsupportedVideo`: a frame has another size than the first one.
    """
    start = start or StreamState(0)
    state, group = start.network, list[_Found]()
    found = _mark_shots(_find_people(clip, find, start.index), shot_threshold)
    for item, is_first_of_shot in _add_probability(found, network):
        if item.index < start.index:
            continue
        if is_first_of_shot:
            if group:
                yield _matte(network, group, state, ends_shot=True)
            group, state = [], None
        group.append(item)
        if len(group) == network.group:
            matted = _matte(network, group, state, ends_shot=False)
            state, group = matted.state.network, []
            yield matted
    if group:
        yield _matte(network, group, state, ends_shot=True)


def _matte(
    network: TemporalNetwork, group: list[_Found], state: NetworkState | None, *, ends_shot: bool
) -> MattedGroup:
    maps = [item.probability for item in group if item.probability is not None]
    mattes, after = network.run([item.rgb for item in group], maps, state)
    frames = tuple(
        MattedFrame(item.index, item.t, item.rgb, item.people, matte)
        for item, matte in zip(group, mattes, strict=True)
    )
    return MattedGroup(frames, StreamState(group[-1].index + 1, None if ends_shot else after))


def _add_probability(
    found: Iterator[tuple[_Found, bool]], network: TemporalNetwork
) -> Iterator[tuple[_Found, bool]]:
    """Yield the frames with their person probability, averaged over the frames of the shot around each."""
    window, at = list[_Seen](), 0
    for item, is_first_of_shot in found:
        if is_first_of_shot:
            yield from (_average(window, place) for place in range(at, len(window)))
            window, at = [], 0
        window.append(_see(item, network, window[-1] if window else None, is_first_of_shot=is_first_of_shot))
        if len(window) - at > REACH:
            yield _average(window, at)
            at += 1
            window, at = window[max(0, at - REACH) :], min(at, REACH)
    yield from (_average(window, place) for place in range(at, len(window)))


def _see(item: _Found, network: TemporalNetwork, before: _Seen | None, *, is_first_of_shot: bool) -> _Seen:
    size_hw = (item.rgb.shape[0], item.rgb.shape[1])
    pixels = union_masks([person.mask for person in item.people], size_hw).to_array()
    luma = cv2.cvtColor(network.reduce(item.rgb), cv2.COLOR_RGB2GRAY).astype(np.uint8)
    step = find_step(before.luma, luma, dt_s=float(item.t - before.item.t)) if before else None
    return _Seen(item, is_first_of_shot, to_map(network.reduce(pixels * np.uint8(255))), luma, step)


def _average(window: list[_Seen], at: int) -> tuple[_Found, bool]:
    average = average_around([one.map for one in window], [one.step for one in window[1:]], at)
    return replace(window[at].item, probability=average), window[at].is_first_of_shot


def _mark_shots(found: Iterator[_Found], shot_threshold: float) -> Iterator[tuple[_Found, bool]]:
    """Yield each frame, and whether it begins a shot; the first one does not."""
    before: LumaImage | None = None
    size_hw: tuple[int, ...] = ()
    for item in found:
        size_hw = size_hw or item.rgb.shape[:2]
        check_size(item.rgb, size_hw, what=f"frame {item.index}", t=item.t, other="the first frame")
        now = shrink_luma(item.rgb, THUMBNAIL_PX)
        yield item, before is not None and begins_a_shot(before, now, shot_threshold=shot_threshold)
        before = now


def _find_people(clip: Clip, find: FindInstances, start: int) -> Iterator[_Found]:
    """Yield the frames from `REACH` before `start` on, with the people found in them, in whole batches."""
    first = max(0, start - REACH)
    frames = enumerate(decode_clip(clip))
    kept = ((index, decoded) for index, decoded in frames if index >= first - first % BATCH)
    for batch in batched(kept, BATCH):
        yield from _found_in(clip, batch, find)


def _found_in(clip: Clip, batch: tuple[tuple[int, Decoded], ...], find: FindInstances) -> Iterator[_Found]:
    frames = [to_frame(clip, decoded, index) for index, decoded in batch]
    for (index, decoded), frame, people in zip(batch, frames, find(frames), strict=True):
        yield _Found(index, decoded.t, frame.rgb, tuple(people))
