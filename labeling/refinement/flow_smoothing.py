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
from labeling.refinement.protocol import Segment
from labeling.refinement.temporal_average import FloatMap, Link, average_maps, contour_ramp, link_frames
from labeling.sampling.shots import begins_a_shot
from labeling.structures.frames import Clip, Frame, LumaImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask, iou_matrix
from labeling.video.luma import shrink_luma
from labeling.video.optical_flow import SMALLEST_PX, bilinear_sample

VERSION = "2"
"""Changes when the same settings give other masks."""
INSIDE_FROM = 0.5
SAME_PERSON_IOU = 0.3
"""Least IoU of a mask and a neighbor's moved mask of the same person, without tracks."""
KEPT_FRAMES = 64
"""Frames whose neighbors are kept: the mirrored frames of a batch come again after the batch."""
_THUMBNAIL_PX = 64
Links = Sequence[tuple[Sequence[Instance], Link]]
"""Each neighbor's people, and the way to it."""
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
        return smooth_people(people, links)

    def _refine_frame(self, frame: Frame, people: Sequence[Instance]) -> list[Instance]:
        if not any(person.mask for person in people):
            return list(people)
        links, reason = self._links(frame)
        if not links:
            return [replace(person, not_refined=(*person.not_refined, reason)) for person in people]
        maps = smooth_people(people, links, softness=self._block.softness)
        masks = _separate(maps, [person.mask for person in people])
        return [
            replace(person, mask=mask) if person.mask else person
            for person, mask in zip(people, masks, strict=True)
        ]

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


def smooth_people(people: Sequence[Instance], neighbors: Links, *, softness: float = 0.0) -> list[FloatMap]:
    """Return the smoothed map of each person, HxW in [0, 1]; it is inside from `INSIDE_FROM` on.

    A neighbor counts for a person if it shows the person: the same `track_id`, or, without tracks, the mask with the
    largest IoU, of at least `SAME_PERSON_IOU`, after it is moved here. With `softness`, masks are averaged as ramps
    across their contours (`contour_ramp`) of this share of the longer side of the mask's box, on each side.
    """
    own = [_to_map(person.mask, softness) for person in people]
    others: list[list[tuple[FloatMap, FloatMap]]] = [[] for _ in people]
    for shown, link in neighbors:
        moved = [bilinear_sample(_to_map(one.mask, softness), link.positions) for one in shown]
        masks = [Mask.from_array(values > INSIDE_FROM) for values in moved]
        for number, person in enumerate(people):
            match = _find_same(person, shown, masks)
            if match is not None:
                others[number].append((moved[match], link.weights))
    return [average_maps(*pair) for pair in zip(own, others, strict=True)]


def _find_same(person: Instance, shown: Sequence[Instance], moved: Sequence[Mask]) -> int | None:
    if not person.mask or not shown:
        return None
    if person.track_id is not None and all(one.track_id is not None for one in shown):
        return next((i for i, one in enumerate(shown) if one.track_id == person.track_id), None)
    ious = iou_matrix([person.mask], moved)[0]
    best = int(ious.argmax())
    return best if ious[best] >= SAME_PERSON_IOU else None


def _to_map(mask: Mask, softness: float) -> FloatMap:
    pixels = mask.to_array()
    if not softness or not mask:
        return np.ascontiguousarray(pixels, dtype=np.float32)
    return contour_ramp(pixels, half_px=softness * max(mask.box_xywh[2:]))


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
