"""Numbers that speak for or against a teacher's masks.

The mirrored image costs as much as the teacher itself, so it is measured only where it can change the
decision (`labeling.trust.decide.needs_flip`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.comparison.iou import union_iou
from labeling.structures.instances import Instance
from labeling.structures.keypoints import share_inside
from labeling.structures.masks import Mask, flip_mask, iou_matrix, mask_areas, union_masks

DEFAULT_KEYPOINT_SCORE = 0.5
"""Score from which a keypoint is confident, unless a pose filter sets another."""


@dataclass(frozen=True, slots=True)
class InstanceEvidence:
    """Evidence about one mask."""

    score: float
    """The teacher's own, in [0, 1]."""
    area_px: int
    stability: float | None = None
    """Share of its pixels that the network is sure of, in [0, 1]; None: the network does not give it."""
    keypoints_inside: float | None = None
    """Share of the confident keypoints inside the mask, in [0, 1]; None: no confident keypoint."""
    flip_iou: float | None = None
    """Best IoU with a mask of the mirrored image, mirrored back, in [0, 1]; None: not measured."""


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """The verifier's result beside the teacher's; None: the verifier does not give it."""

    iou: float | None = None
    """Of the two unions of masks, in [0, 1]."""
    missed: int = 0
    """People whom the verifier is sure of and the teacher did not find."""
    unseen: int = 0
    """The teacher's people whom the verifier did not find, not even with a low score."""
    keypoints_inside: float | None = None
    """Lowest share of a person's confident keypoints in the teacher's mask, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence about all of a frame's masks; empty masks are left out."""

    instances: tuple[InstanceEvidence, ...] = ()
    flip_iou: float | None = None
    """IoU of the masks' union with that of the mirrored image; None: not measured."""
    flow_iou: float | None = None
    """IoU of the union with that of the previous frame, moved by optical flow; None: not measured, or nothing
    to measure (`labeling.trust.flow_consistency`)."""
    verifier: SecondOpinion | None = None
    """None: the verifier did not run."""

    @property
    def keypoints_inside(self) -> float | None:
        """The lowest share of all instances; None: no keypoints."""
        shares = [
            instance.keypoints_inside for instance in self.instances if instance.keypoints_inside is not None
        ]
        return min(shares, default=None)


def gather_evidence(
    teacher: Sequence[Instance],
    size_hw: tuple[int, int],
    *,
    min_keypoint_score: float,
    mirrored: Sequence[Mask] | None = None,
) -> Evidence:
    """Measure a frame's masks; `mirrored` are the mirrored image's masks, not yet mirrored back."""
    masks = [instance.mask for instance in teacher]
    flips: Sequence[float | None] = [None] * len(masks)
    union_flip = None
    if mirrored is not None:
        back = [flip_mask(mask) for mask in mirrored]
        union_flip = union_iou(union_masks(masks, size_hw), union_masks(back, size_hw))
        flips = iou_matrix(masks, back).max(axis=1, initial=0.0).tolist()
    instances = tuple(
        InstanceEvidence(
            score=instance.score,
            area_px=int(area),
            stability=instance.stability,
            keypoints_inside=None
            if instance.keypoints is None
            else share_inside(instance.keypoints, instance.mask, min_keypoint_score=min_keypoint_score),
            flip_iou=flip,
        )
        for instance, area, flip in zip(teacher, mask_areas(masks), flips, strict=True)
        if area
    )
    return Evidence(instances, union_flip)
