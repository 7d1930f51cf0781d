"""Matting of whole frames: one crop per cluster of people, merged."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.matting.guided_filter import guided_upsample
from labeling.matting.inputs import CROP_MARGIN, Crop, FloatImage, GrayImage, NetworkInput, make_input
from labeling.matting.network import Matte, MattingNetwork
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance, Keypoints
from labeling.structures.masks import BoxXywh, Mask, union_masks

ALPHA_THRESHOLD = 0.5
"""A pixel belongs to a mask from this alpha on."""
EMPTY_BELOW, OPAQUE_FROM = 0.03, 0.85
"""Alpha up to the first is 0, from the second on 1, and what lies between is stretched: the network's tanh hardly
reaches its ends, the guided filter softens contours, and the network draws people 3 % too small."""
GUIDE_RADIUS_PX, GUIDE_EPS = 2, 5e-4
"""Of the guided filter that scales alpha to the frame; a larger radius blurs, and a smaller variance draws noise."""
DETACHED_SHARE = 0.06
"""What is further from all masks than this share of the frame's diagonal is no part of a person."""
MASK_SIGMA_PX = 1.0
"""Blur of a mask that is used as alpha."""


@dataclass(frozen=True, slots=True, eq=False)
class MattingFrame:
    """One frame with everything that the network needs."""

    rgb: RgbImage
    plate: RgbImage
    """The empty scene in this frame's light, HxWx3."""
    is_seen: NDArray[np.bool_]
    """HxW: False where the plate is a guess."""
    people: Sequence[Instance]
    motion: Sequence[GrayImage] | None = None
    """Gray frames at `inputs.MOTION_STEPS`, perhaps reduced; None without neighbors in time."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameMatte:
    """Alpha (HxW in [0, 1]) and foreground (HxWx3 uint8; the frame's colors where alpha is 0)."""

    alpha: FloatImage
    foreground: RgbImage


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


def matte_frames(network: MattingNetwork, frames: Sequence[MattingFrame]) -> list[FrameMatte]:
    """Compute the mattes of frames in one batch; alpha is 0 without people."""
    crops = [cluster_crops([instance.mask.box_xywh for instance in frame.people]) for frame in frames]
    samples = [
        cut_crop(frame, crop, network.side_px).to_input()
        for frame, of_frame in zip(frames, crops, strict=True)
        for crop in of_frame
    ]
    mattes = iter(network.run(samples) if samples else [])
    return [
        _merge(frame, [(crop, next(mattes)) for crop in of_frame])
        for frame, of_frame in zip(frames, crops, strict=True)
    ]


def cluster_crops(boxes: Sequence[BoxXywh]) -> list[Crop]:
    """Return one square crop per group of people whose crops overlap.

    >>> len(cluster_crops([(0, 0, 10, 50), (8, 0, 10, 50), (300, 0, 10, 50)]))
    2
    """
    groups: list[list[BoxXywh]] = []
    for box in boxes:
        near = [group for group in groups if _touch(group, box)]
        groups = [group for group in groups if group not in near] + [[box, *chain.from_iterable(near)]]
    return [Crop.around(group) for group in groups]


def _touch(group: Sequence[BoxXywh], box: BoxXywh) -> bool:
    """Return whether a box overlaps one of a group, each with its margin."""
    return any(_overlap(_widen(other), _widen(box)) for other in group)


def _widen(box: BoxXywh) -> BoxXywh:
    x, y, w, h = box
    margin = CROP_MARGIN * max(w, h) / 2
    return x - margin, y - margin, w + 2 * margin, h + 2 * margin


def _overlap(first: BoxXywh, second: BoxXywh) -> bool:
    return all(first[i] < second[i] + second[i + 2] and second[i] < first[i] + first[i + 2] for i in (0, 1))


@dataclass(frozen=True, slots=True, eq=False)
class CropImages:
    """One crop of a frame at the network's size S; see `inputs.make_input`."""

    image: RgbImage
    plate: RgbImage
    is_seen: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    motion: Sequence[GrayImage] | None
    people: Sequence[Keypoints]

    def to_input(self) -> NetworkInput:
        return make_input(
            self.image, self.plate, self.is_seen, self.mask, motion=self.motion, people=self.people
        )


def cut_crop(frame: MattingFrame, crop: Crop, side_px: int) -> CropImages:
    """Scale one crop of a frame to `side_px`."""
    height, width = frame.rgb.shape[:2]
    people = union_masks([instance.mask for instance in frame.people], (height, width)).to_array()
    motion = frame.motion and [
        crop.scaled(gray.shape[0] / height).cut(gray, side_px) for gray in frame.motion
    ]
    return CropImages(
        crop.cut(frame.rgb, side_px),
        crop.cut(frame.plate, side_px),
        crop.cut(frame.is_seen.astype(np.uint8), side_px) > 0,
        crop.cut(people.astype(np.uint8) * 255, side_px) > 127,  # noqa: PLR2004 - half covered
        motion,
        [crop.to_crop(person.keypoints, side_px) for person in frame.people if person.keypoints],
    )


def _merge(frame: MattingFrame, parts: Sequence[tuple[Crop, Matte]]) -> FrameMatte:
    """Paste the parts; where they overlap the larger alpha is taken, with its color."""
    size_hw = (frame.rgb.shape[0], frame.rgb.shape[1])
    alpha, foreground = np.zeros(size_hw, dtype=np.float32), frame.rgb.copy()
    for crop, matte in parts:
        pasted = crop.paste(_to_edges(matte.alpha, crop.cut(frame.rgb, crop.side)), size_hw)
        is_better = pasted > alpha
        color = crop.paste(matte.foreground, size_hw)
        foreground[is_better] = np.clip(color[is_better] + 0.5, 0, 255).astype(np.uint8)
        alpha = np.maximum(alpha, pasted)
    stretched = np.clip((alpha - EMPTY_BELOW) / (OPAQUE_FROM - EMPTY_BELOW), 0, 1).astype(np.float32)
    return FrameMatte(_trust_masks(frame, _drop_detached(stretched, frame.people)), foreground)


def _drop_detached(alpha: FloatImage, people: Sequence[Instance]) -> FloatImage:
    """Return alpha without the parts that are far from all masks: moved objects differ from the plate too."""
    if not people:
        return alpha
    size_hw = (alpha.shape[0], alpha.shape[1])
    is_person = union_masks([person.mask for person in people], size_hw).to_array()
    count, parts = cv2.connectedComponents((alpha > 0).astype(np.uint8))
    is_kept = np.zeros(count, dtype=bool)
    is_kept[np.unique(parts[_distance(is_person) <= DETACHED_SHARE * np.hypot(*size_hw)])] = True
    return np.where(is_kept[parts], alpha, 0).astype(np.float32)


def _to_edges(alpha: FloatImage, rgb: RgbImage) -> FloatImage:
    """Scale the alpha of a crop to its size in the frame, along the edges of the image there."""
    side = rgb.shape[0]
    if side < alpha.shape[0]:
        alpha = np.asarray(cv2.resize(alpha, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    return guided_upsample(alpha, rgb, radius_px=GUIDE_RADIUS_PX, eps=GUIDE_EPS)


def _trust_masks(frame: MattingFrame, alpha: FloatImage) -> FloatImage:
    """Return alpha with the masks where the plate is a guess: it may show the people themselves there."""
    if frame.is_seen.all() or not frame.people:
        return alpha
    size_hw = (alpha.shape[0], alpha.shape[1])
    mask = union_masks([person.mask for person in frame.people], size_hw).to_array().astype(np.float32)
    soft = cv2.GaussianBlur(np.ascontiguousarray(mask), (0, 0), MASK_SIGMA_PX)
    return np.where(frame.is_seen, alpha, np.maximum(alpha, soft)).astype(np.float32)


def split_alpha(alpha: FloatImage, people: Sequence[Instance]) -> list[Mask]:
    """Return each person's mask: the pixels above `ALPHA_THRESHOLD` that are nearest to their old mask."""
    inside = alpha > ALPHA_THRESHOLD
    if len(people) == 1:
        return [Mask.from_array(inside)]
    distances = np.stack([_distance(person.mask.to_array()) for person in people])
    nearest = distances.argmin(axis=0)
    return [Mask.from_array(inside & (nearest == number)) for number in range(len(people))]


def _distance(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the distance of each pixel from a mask, in pixels."""
    return cv2.distanceTransform(1 - mask.astype(np.uint8, order="C"), cv2.DIST_L2, 3)
