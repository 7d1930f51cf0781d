"""Smoothing over time as a refiner: each mask's contour becomes the mean of its neighbors', moved along optical flow.

The neighbors are the frames just before and after in the video, sampled or not; the segmenter runs on them. So the
result depends neither on the batch nor on the shard: the first frame of a shard has neighbors in the shard before.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import ModelError
from configs.refinement import FlowSmoothingBlock
from labeling.refinement.neighbor_frames import Neighborhood, NeighborReader
from labeling.refinement.people_over_time import (
    Links,
    average_people,
    find_missed,
    move_people,
)
from labeling.refinement.protocol import Segment
from labeling.refinement.temporal_average import FloatMap, Link, link_frames
from labeling.structures.frames import Clip, Frame, LumaImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import INSIDE_FROM, Mask
from labeling.video.luma import shrink_luma
from labeling.video.optical_flow import SMALLEST_PX
from labeling.video.shots import begins_a_shot

VERSION = "2"
"""Changes when the same settings give other masks."""
KEPT_FRAMES = 64
"""Frames whose neighbors are kept: the mirrored frames of a batch come again after the batch."""
_THUMBNAIL_PX = 64
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, eq=False)
class _Neighbor:
    """The parts of a neighbor that are used; small enough to be kept."""

    time_s: Fraction
    size_hw: tuple[int, int]
    luma: LumaImage
    thumbnail: LumaImage
    people: tuple[Instance, ...] = ()

    @classmethod
    def of(cls, frame: Frame, width_px: int) -> "_Neighbor":
        luma = shrink_luma(frame.rgb, width_px)
        return cls(_time_of(frame), frame.size_hw, luma, shrink_luma(frame.rgb, _THUMBNAIL_PX))


class FlowSmoothingRefiner:
    """Averages each person's mask with the masks of the same person in neighboring frames of the same shot."""

    def __init__(
        self, block: FlowSmoothingBlock, *, clip: Clip | None = None, segment: Segment | None = None
    ) -> None:
        self._block, self._segment = block, segment
        wanted = Neighborhood(block.neighbors, Fraction(str(block.window_s)), block.causal)
        self._reader = NeighborReader(clip, wanted) if clip else None
        self._around: _Recent[Fraction, tuple[_Neighbor, ...]] = _Recent(KEPT_FRAMES)
        self._known: _Recent[Fraction, _Neighbor] = _Recent(4 * block.neighbors + 2)

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind"}) | {"version": VERSION}
        name = "causal" if self._block.causal else "centered"
        return ModelCard(self._block.kind, name, "", json.dumps(settings, sort_keys=True))

    def prepare(self, clip: Clip, segment: Segment) -> "FlowSmoothingRefiner":
        """Return a refiner that reads the neighbors from this clip."""
        return FlowSmoothingRefiner(self._block, clip=clip, segment=segment)

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        """Smooth the masks of each frame; those of a frame without neighbors get the reason.

        Raises:
            ModelError: `prepare` was not called.
            SourceError: the clip can no longer be read.
        """
        return [self._refine_frame(*pair) for pair in zip(frames, instances, strict=True)]

    def smooth_maps(self, frame: Frame, people: Sequence[Instance]) -> list[FloatMap]:
        """Return the weighted mean over time of each person's mask, HxW in [0, 1].

        These maps flicker less than the masks of `refine`, whose pixels must be 0 or 1. Without a neighbor, a map is the
        mask itself.

        Raises:
            ModelError: `prepare` was not called.
            SourceError: the clip can no longer be read.
        """
        links, _ = self._links(frame)
        return average_people(people, move_people(links))

    def _refine_frame(self, frame: Frame, people: Sequence[Instance]) -> list[Instance]:
        if not people and not self._block.fill_missed:
            return []
        links, reason = self._links(frame)
        if not links:
            return [replace(person, not_refined=(*person.not_refined, reason)) for person in people]
        moved = move_people(links, softness=self._block.softness)
        masks = _separate(average_people(people, moved), [person.mask for person in people])
        refined = [
            replace(person, mask=mask) if person.mask else person
            for person, mask in zip(people, masks, strict=True)
        ]
        if not self._block.fill_missed:
            return refined
        return [*refined, *find_missed(people, moved, taken=[one.mask for one in refined])]

    def _links(self, frame: Frame) -> tuple[Links, str]:
        """Return the neighbors of a frame; if there are none, why."""
        if self._reader is None:
            raise ModelError(
                "flow_smoothing: no clip is known yet; call prepare(clip, segment) and use its result"
            )
        if frame.pts_ms is None:
            return (), "the images are not the frames of one shot"
        if min(shrink_luma(frame.rgb, self._block.width_px).shape) < SMALLEST_PX:
            return (), f"the image is narrower than {SMALLEST_PX} px"
        neighbors = self._find_neighbors(frame, self._reader)
        links = [(one.people, self._link(frame, one)) for one in neighbors]
        return links, f"no frame of the shot within {self._block.window_s:g} s"

    def _find_neighbors(self, frame: Frame, reader: NeighborReader) -> tuple[_Neighbor, ...]:
        """Return the neighbors of the same shot and size, with their people."""
        time_s = _time_of(frame)
        if (known := self._around.get(time_s)) is not None:
            return known
        before, after = reader.around(time_s)
        here = _Neighbor.of(frame, self._block.width_px)
        chosen = self._same_shot(here, before)
        if not self._block.causal:
            chosen += self._same_shot(here, after)
        self._around.put(time_s, found := tuple(self._with_people(chosen)))
        return found

    def _same_shot(self, here: _Neighbor, frames: Sequence[Frame]) -> list[tuple[Frame, _Neighbor]]:
        """Return the frames up to the first cut or change of size, nearest first."""
        made = [(frame, _Neighbor.of(frame, self._block.width_px)) for frame in frames]
        steps = pairwise([here, *(neighbor for _, neighbor in made)])
        for count, (first, second) in enumerate(steps):
            if first.size_hw != second.size_hw or begins_a_shot(
                first.thumbnail, second.thumbnail, shot_threshold=self._block.shot_threshold
            ):
                return made[:count]
        return made

    def _with_people(self, chosen: Sequence[tuple[Frame, _Neighbor]]) -> list[_Neighbor]:
        """Run the segmenter on the neighbors that are new, as one batch."""
        found = {one.time_s: self._known.get(one.time_s) for _, one in chosen}
        new = [(frame, one) for frame, one in chosen if found[one.time_s] is None]
        if new and self._segment is not None:
            segmented = self._segment([frame for frame, _ in new])
            for (_, one), people in zip(new, segmented, strict=True):
                found[one.time_s] = replace(one, people=tuple(people))
                self._known.put(one.time_s, replace(one, people=tuple(people)))
        return [one for one in found.values() if one is not None]

    def _link(self, frame: Frame, neighbor: _Neighbor) -> Link:
        return link_frames(
            shrink_luma(frame.rgb, self._block.width_px),
            neighbor.luma,
            dt_s=float(neighbor.time_s - _time_of(frame)),
            sigma_s=self._block.sigma_s,
            size_hw=frame.size_hw,
        )


def _separate(maps: Sequence[FloatMap], before: Sequence[Mask]) -> list[Mask]:
    """Make masks of the maps; a pixel that several people claim, but did not before, goes to the largest value."""
    if not maps:
        return []
    claims = np.stack([values > INSIDE_FROM for values in maps])
    held = np.stack([mask.to_array() for mask in before])
    best: NDArray[np.bool_] = np.stack(maps).argmax(axis=0) == np.arange(len(maps))[:, None, None]
    is_disputed = (claims.sum(axis=0) > 1) & (held.sum(axis=0) < 2)  # noqa: PLR2004 - overlaps stay
    return Mask.from_stack(claims & (best | ~is_disputed))


def _time_of(frame: Frame) -> Fraction:
    return Fraction(frame.pts_ms or 0, 1000) if frame.index is not None else frame.t


Key = TypeVar("Key")


class _Recent(Generic[Key, Value]):
    """The values that were stored last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        self._values[key] = value
        while len(self._values) > self._size:
            self._values.popitem(last=False)
