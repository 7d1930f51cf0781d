"""The mattes of a clip whose camera moves: the recurrent network follows the people from group to group of frames.

It is given each frame's person probability, averaged along the motion. Groups are counted from the first frame of a shot;
at a cut the network forgets everything. An interrupted clip continues from a state that was kept, with equal results.
Memory does not grow with the clip's length.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np

from labeling.matting.frame import MattedFrame
from labeling.matting.moving_people import Finder, FollowedFrame, follow_people
from labeling.matting.temporal_network import NetworkState, TemporalNetwork
from labeling.structures.frames import Clip

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


def matte_moving_clip(
    clip: Clip,
    finder: Finder,
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
    state, group = start.network, list[FollowedFrame]()
    people = follow_people(clip, finder, network.reduce, shot_threshold=shot_threshold, start=start.index)
    for item in people:
        if item.begins_shot:
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
    network: TemporalNetwork, group: list[FollowedFrame], state: NetworkState | None, *, ends_shot: bool
) -> MattedGroup:
    images, maps = [item.frame.rgb for item in group], [item.probability for item in group]
    mattes, after = network.run(images, maps, state)
    frames = tuple(
        MattedFrame(item.index, item.frame.t, item.frame.rgb, item.people, matte)
        for item, matte in zip(group, mattes, strict=True)
    )
    return MattedGroup(frames, StreamState(group[-1].index + 1, None if ends_shot else after))
