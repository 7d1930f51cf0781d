"""Masks of people from their keypoints, one pass for each person, and each pixel to the likeliest of them.

The people and keypoints are those of another segmenter. With `base`, the masks of a third one are kept, and only
people that it misses get a mask here: a skeleton without a mask.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.segmenters import PoseGuidedBlock
from labeling.pose_masks.crop import PersonCrop
from labeling.pose_masks.inputs import PoseMaskInput, in_prior_units, make_pose_input
from labeling.pose_masks.prior import FloatArray, FloatImage, draw_prior, joints_of
from labeling.segmenters.models import settings_of
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.instances import Instance, Keypoints, ModelCard
from labeling.structures.masks import BoolArray, Mask
from labeling.structures.probability_maps import stability_share

LOW_CONFIDENCE = 0.5
"""Factor of the score of a person with too few keypoints."""
MAX_OTHERS = 4
"""Other people whose keypoints are drawn for the network, the nearest ones."""
GRAPH_SIDE_PX = 128
"""Side of the crop of a graph cut: 16,384 pixels take 0.2 s."""
BOX_SIDE_PX = 160
BOX_MARGIN = 0.3
"""Context around the box of a person with too few keypoints, as a share of its longer side."""
SPECK = 0.1
"""Parts of a mask below this share of its largest part are dropped if they have no keypoint."""
MIN_INSIDE = 0.5
"""A person is not missed by `base` if one of its masks contains this share of their keypoints."""


@dataclass(frozen=True, slots=True, eq=False)
class _Guided:
    """The probability of one person in a rectangle of the image."""

    person: Instance
    left: int
    top: int
    probability: FloatImage
    is_guess: bool = False
    """There were too few keypoints."""


class PoseGuidedSegmenter:
    """Gives each person of a pose model a mask.

    The score is the geometric mean of the pose model's and of the mean probability within the mask.
    """

    def __init__(self, block: PoseGuidedBlock, pose: Segmenter, base: Segmenter | None = None) -> None:
        self._block, self._pose, self._base = block, pose, base
        self._network = None
        if block.method == "network":
            from labeling.pose_masks.network import PoseMaskSession

            self._network = PoseMaskSession(block.path)

    @property
    def card(self) -> ModelCard:
        pose, network = self._pose.card, self._network
        unused = {"kind", "pose", "base", "path", "refine"} | ({"solver"} if network else set())
        settings = self._block.model_dump(mode="json", exclude=unused)
        settings["pose"] = _describe(pose)
        if self._base:
            settings["base"] = _describe(self._base.card)
        weights = [network.sha256 if network else "", pose.weights_sha256]
        weights += [self._base.card.weights_sha256] if self._base else []
        return ModelCard(
            kind=self._block.kind,
            name=f"{self._block.method}+{pose.name}",
            weights_sha256="+".join(filter(None, weights)),
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
            sees_mirrored=pose.sees_mirrored and (self._base is None or self._base.card.sees_mirrored),
        )

    def prepare(self, clip: Clip) -> "PoseGuidedSegmenter":
        prepared = object.__new__(PoseGuidedSegmenter)
        prepared._block, prepared._network = self._block, self._network
        prepared._pose = self._pose.prepare(clip)
        prepared._base = self._base.prepare(clip) if self._base else None
        return prepared

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment each frame, in the order of the pose model."""
        poses = self._pose.segment(frames)
        if self._base is None:
            return [
                self._segment_people(frame.rgb, people) for frame, people in zip(frames, poses, strict=True)
            ]
        kept = self._base.segment(frames)
        return [self._add_missed(frame.rgb, *pair) for frame, *pair in zip(frames, kept, poses, strict=True)]

    def _add_missed(
        self, rgb: RgbImage, kept: Sequence[Instance], poses: Sequence[Instance]
    ) -> list[Instance]:
        """Return the instances with masks, and pose-guided ones of other people, without their pixels."""
        own = [instance for instance in kept if instance.mask]
        missed = self._find_missed(own, poses)
        if not missed:
            return own
        taken = np.zeros(rgb.shape[:2], dtype=np.bool_)
        for instance in own:
            taken |= instance.mask.to_array().astype(np.bool_)
        return [*own, *self._segment_people(rgb, missed, taken)]

    def _find_missed(self, own: Sequence[Instance], poses: Sequence[Instance]) -> list[Instance]:
        masks = [instance.mask.to_array() for instance in own]
        missed = []
        for person in poses:
            points = [(x, y) for x, y, score in person.keypoints or () if score >= self._block.min_confidence]
            inside = max((_share_inside(points, mask) for mask in masks), default=0.0)
            if len(points) >= self._block.min_keypoints and inside < MIN_INSIDE:
                missed.append(person)
        return missed

    def _segment_people(
        self, rgb: RgbImage, people: Sequence[Instance], taken: BoolArray | None = None
    ) -> list[Instance]:
        """Mask each person alone, then give each pixel to the person of the largest probability."""
        best = np.full(rgb.shape[:2], self._block.mask_threshold, dtype=np.float32)
        owner = np.full(rgb.shape[:2], -1, dtype=np.int32)
        guided = self._guide_all(rgb, people)
        for number, one in enumerate(guided):
            height, width = one.probability.shape
            region = (slice(one.top, one.top + height), slice(one.left, one.left + width))
            is_better = one.probability > best[region]
            best[region][is_better] = one.probability[is_better]
            owner[region][is_better] = number
        if taken is not None:
            owner[taken] = -1
        made = (self._make_instance(one, owner == number, best) for number, one in enumerate(guided))
        return [instance for instance in made if instance is not None]

    def _make_instance(self, one: "_Guided", inside: BoolArray, best: FloatImage) -> Instance | None:
        person = one.person
        inside = drop_specks(inside, person.keypoints or ())
        if not inside.any():
            return None
        within, mask = best[inside], Mask.from_array(inside)
        score = float(np.sqrt(np.clip(person.score, 0, 1) * within.mean()))
        if one.is_guess:
            score *= LOW_CONFIDENCE
        stability = stability_share(within, mask_threshold=self._block.mask_threshold)
        return replace(
            person, mask=mask, box_xywh=mask.box_xywh, score=score, stability=stability, refined_by=None,
            iou_before=None, not_refined=(),
        )  # fmt: skip

    def _is_posed(self, rgb: RgbImage, person: Instance) -> bool:
        """Return whether a person has enough keypoints within the image."""
        seen = sum(score >= self._block.min_confidence for _, _, score in self._visible(rgb, person))
        return seen >= self._block.min_keypoints

    @staticmethod
    def _visible(rgb: RgbImage, person: Instance) -> Keypoints:
        """Return the keypoints; those outside of the image have a confidence of 0."""
        height, width = rgb.shape[:2]
        return tuple(
            (x, y, score if 0 <= x < width and 0 <= y < height else 0.0)
            for x, y, score in person.keypoints or ()
        )

    def _guide_all(self, rgb: RgbImage, people: Sequence[Instance]) -> list[_Guided]:
        posed = [p for p in people if self._is_posed(rgb, p)]
        joints = [joints_of(self._visible(rgb, p), min_confidence=self._block.min_confidence) for p in posed]
        side = self._network.side_px if self._network else GRAPH_SIDE_PX
        crops = [
            PersonCrop.around(one, side, box_xywh=p.box_xywh if min(p.box_xywh[2:]) > 1 else None)
            for one, p in zip(joints, posed, strict=True)
        ]
        if self._network:
            inputs = [self._make_input(rgb, crops[n], joints, n) for n in range(len(posed))]
            maps = self._network.run(inputs)
        else:
            maps = [self._cut(rgb, crop, one) for crop, one in zip(crops, joints, strict=True)]
        maps = [self._or_prior(one, crop, j) for one, crop, j in zip(maps, crops, joints, strict=True)]
        found = [_paste(rgb, *one) for one in zip(posed, crops, maps, strict=True)]
        found += [_cut_box(rgb, p) for p in people if not self._is_posed(rgb, p)]
        return [one for one in found if one is not None]

    @staticmethod
    def _make_input(
        rgb: RgbImage, crop: PersonCrop, joints: Sequence[FloatArray], number: int
    ) -> PoseMaskInput:
        """Make the network's input for one person, with the keypoints of the nearest others."""
        middle = np.array([crop.x0, crop.y0]) + crop.side / 2
        others = [one for position, one in enumerate(joints) if position != number]
        others.sort(key=lambda one: float(np.hypot(*(one[one[:, 2] > 0, :2].mean(axis=0) - middle))))
        drawn = [
            in_prior_units(crop.to_grid(one), crop.grid_px) for one in (joints[number], *others[:MAX_OTHERS])
        ]
        return make_pose_input(crop.cut(rgb), drawn[0], drawn[1:])

    def _cut(self, rgb: RgbImage, crop: PersonCrop, joints: FloatArray) -> FloatImage:
        """Return the graph cut's mask as a probability: the prior decides between people."""
        from labeling.pose_masks.graph_cut import cut_person

        drawn = crop.to_grid(joints)
        inside = cut_person(crop.cut(rgb), drawn, solver=self._block.solver)
        prior = draw_prior(in_prior_units(drawn, crop.grid_px), crop.grid_px)
        threshold = self._block.mask_threshold
        return np.where(inside, threshold + (1 - threshold) * (0.5 + prior / 2), 0).astype(np.float32)

    def _or_prior(self, probability: FloatImage, crop: PersonCrop, joints: FloatArray) -> FloatImage:
        """Return the prior if the map has no foreground."""
        if (probability > self._block.mask_threshold).any():
            return probability
        return draw_prior(in_prior_units(crop.to_grid(joints), crop.grid_px), crop.grid_px)


def drop_specks(inside: BoolArray, keypoints: Keypoints) -> BoolArray:
    """Return a mask without its small parts, unless a keypoint lies in them, HxW."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    if count <= 2:  # noqa: PLR2004 - the background and one part
        return inside
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = areas >= SPECK * areas[1:].max()
    height, width = inside.shape
    for x, y, score in keypoints:
        if score > 0 and 0 <= x < width and 0 <= y < height:
            kept[labels[int(y), int(x)]] = True
    kept[0] = False
    return np.asarray(kept[labels], dtype=np.bool_)


def _describe(card: ModelCard) -> dict[str, object]:
    return {
        **settings_of(card), "kind": card.kind, "name": card.name, "weights_sha256": card.weights_sha256,
    }  # fmt: skip


def _share_inside(points: Sequence[tuple[float, float]], mask: NDArray[Any]) -> float:
    height, width = mask.shape
    inside = [mask[int(y), int(x)] > 0 for x, y in points if 0 <= x < width and 0 <= y < height]
    return float(sum(inside) / max(len(points), 1))


def _paste(rgb: RgbImage, person: Instance, crop: PersonCrop, probability: FloatImage) -> _Guided | None:
    """Return the probability in the part of the image that the crop shows."""
    height, width = rgb.shape[:2]
    left, top = max(0, int(crop.x0)), max(0, int(crop.y0))
    right, bottom = min(width, int(crop.x0 + crop.side) + 1), min(height, int(crop.y0 + crop.side) + 1)
    if right <= left or bottom <= top:
        return None
    moved = PersonCrop(crop.x0 - left, crop.y0 - top, crop.side, crop.grid_px)
    return _Guided(person, left, top, moved.paste(probability, (bottom - top, right - left)))


def _cut_box(rgb: RgbImage, person: Instance) -> _Guided | None:
    """Return GrabCut's mask in a person's box, or the whole box if GrabCut finds nothing."""
    from labeling.pose_masks.graph_cut import run_grab_cut

    x, y, w, h = person.box_xywh
    margin = BOX_MARGIN * max(w, h)
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    region = rgb[top : int(y + h + margin) + 1, left : int(x + w + margin) + 1]
    if not region.size or w < 1 or h < 1:
        return None
    scale = min(1.0, BOX_SIDE_PX / max(region.shape[:2]))
    small = cv2.resize(region, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    labels = np.full(small.shape[:2], cv2.GC_BGD, dtype=np.uint8)
    rows = slice(max(0, round((y - top) * scale)), max(1, round((y + h - top) * scale)))
    columns = slice(max(0, round((x - left) * scale)), max(1, round((x + w - left) * scale)))
    labels[rows, columns] = cv2.GC_PR_FGD
    box = labels == cv2.GC_PR_FGD
    inside = run_grab_cut(small, labels) if not box.all() else box
    chosen = (inside if inside.any() else box).astype(np.float32)
    pixels = cv2.resize(chosen, region.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return _Guided(person, left, top, pixels.astype(np.float32), is_guess=True)
