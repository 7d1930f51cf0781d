"""What speaks for or against a teacher's masks: each sign is a number with a range, cheap ones first.

The mirrored image costs as much as the teacher itself, so it is asked for only where it can decide
(`labeling.trust.decide.needs_flip`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.comparison.agreement import union_iou
from labeling.structures.instances import Instance
from labeling.structures.keypoints import share_inside
from labeling.structures.masks import Mask, flip_mask, iou_matrix, mask_areas, union_masks

DEFAULT_KEYPOINT_SCORE = 0.5
"""From which a joint is confident, where no pose filter says otherwise."""


@dataclass(frozen=True, slots=True)
class InstanceEvidence:
    """What is known about one mask."""

    score: float
    """The teacher's own, in [0, 1]."""
    area_px: int
    stability: float | None = None
    """Share of its pixels of which the network is sure, in [0, 1]; None: it does not tell."""
    keypoints_inside: float | None = None
    """Share of the confident joints inside the mask, in [0, 1]; None: no confident joint."""
    flip_iou: float | None = None
    """Best IoU with a mask of the mirrored image, mirrored back, in [0, 1]; None: not measured."""


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """Another segmenter's word on a frame's masks; None: of that it says nothing."""

    iou: float | None = None
    """Of the union of its masks with the teacher's, in [0, 1]."""
    missed: int = 0
    """People of whom it is sure and whom the teacher did not see."""
    unseen: int = 0
    """The teacher's people whom it did not see, not even with a low score."""
    keypoints_inside: float | None = None
    """Lowest share of one person's confident joints in the teacher's mask of him, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about all of a frame's masks. Empty masks are nobody and left out."""

    instances: tuple[InstanceEvidence, ...] = ()
    flip_iou: float | None = None
    """IoU of the masks' union with that of the mirrored image; None: not measured."""
    flow_iou: float | None = None
    """IoU of it with the masks of the frame before, moved along by optical flow; None: not measured, or nothing
    to measure (`labeling.trust.flow_consistency`)."""
    verifier: SecondOpinion | None = None
    """What another segmenter says (`labeling.trust.second_opinion`); None: not asked."""

    @property
    def keypoints_inside(self) -> float | None:
        """The lowest of all instances; None: no joints."""
        shares = [one.keypoints_inside for one in self.instances if one.keypoints_inside is not None]
        return min(shares, default=None)


def gather_evidence(
    teacher: Sequence[Instance],
    size_hw: tuple[int, int],
    *,
    min_keypoint_score: float,
    mirrored: Sequence[Mask] | None = None,
) -> Evidence:
    """Measure a frame's masks; `mirrored` are those of the mirrored image, as that shows them.

    Raises:
        ModelOutputWrong: a mask has not the size `size_hw`.
    """
    masks = [one.mask for one in teacher]
    flips: Sequence[float | None] = [None] * len(masks)
    union_flip = None
    if mirrored is not None:
        back = [flip_mask(mask) for mask in mirrored]
        union_flip = union_iou(union_masks(masks, size_hw), union_masks(back, size_hw))
        flips = iou_matrix(masks, back).max(axis=1, initial=0.0).tolist()
    instances = tuple(
        InstanceEvidence(
            score=one.score,
            area_px=int(area),
            stability=one.stability,
            keypoints_inside=_keypoints_inside(one, min_keypoint_score),
            flip_iou=flip,
        )
        for one, area, flip in zip(teacher, mask_areas(masks), flips, strict=True)
        if area
    )
    return Evidence(instances, union_flip)


def _keypoints_inside(instance: Instance, min_keypoint_score: float) -> float | None:
    if instance.keypoints is None or not instance.mask:
        return None
    return share_inside(instance.keypoints, instance.mask, min_keypoint_score=min_keypoint_score)
