"""What another segmenter says about the teacher's masks: all of them together, and person by person.

It is held to what it gives. One that finds people and their joints but no outlines is not asked about outlines,
and one that gives a single mask for everybody not about people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from configs.models import RunConfig
from labeling.comparison.agreement import match_pairs, union_iou
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.keypoints import share_inside
from labeling.structures.masks import box_iou_matrix, union_masks
from labeling.trust.evidence import DEFAULT_KEYPOINT_SCORE, SecondOpinion

_Pairs = list[tuple[int, int, float]]


@dataclass(frozen=True, slots=True)
class SecondOpinionComparer:
    """How the second segmenter's instances are held against the teacher's."""

    gives_masks: bool
    tells_apart: bool
    """Both segmenters tell people apart."""
    min_score: float
    """From which the second is sure of a person."""
    match_iou: float
    """Of boxes, from which two instances are the same person."""
    min_keypoint_score: float

    @classmethod
    def of(cls, config: RunConfig, teacher: ModelCard, verifier: ModelCard) -> Self:
        pose = config.pose_filter
        return cls(
            gives_masks=verifier.gives_masks,
            tells_apart=teacher.gives_instances and verifier.gives_instances,
            min_score=config.trust.min_score,
            match_iou=config.agreement.match_iou,
            min_keypoint_score=pose.min_keypoint_score if pose else DEFAULT_KEYPOINT_SCORE,
        )

    def compare(
        self, teacher: Sequence[Instance], others: Sequence[Instance], size_hw: tuple[int, int]
    ) -> SecondOpinion:
        """The second's word on one frame.

        An empty mask is nobody, unless it has joints: such people are no outlines either.

        Raises:
            ModelOutputWrong: a mask has not the size `size_hw`.
        """
        mine = [one for one in teacher if one.mask]
        theirs = [one for one in others if one.mask or one.keypoints]
        iou = self._compare_outlines(mine, theirs, size_hw)
        if not self.tells_apart:
            return SecondOpinion(iou)
        sure = [one for one in theirs if one.score >= self.min_score]
        pairs = self._match(sure, mine)
        return SecondOpinion(
            iou,
            missed=len(sure) - len(pairs),
            unseen=len(mine) - len(self._match(theirs, mine)),
            keypoints_inside=self._lowest_inside([(sure[other], mine[own]) for other, own, _ in pairs]),
        )

    def _compare_outlines(
        self, mine: Sequence[Instance], theirs: Sequence[Instance], size_hw: tuple[int, int]
    ) -> float | None:
        if theirs and not (self.gives_masks and any(one.mask for one in theirs)):
            return None
        unions = (union_masks([one.mask for one in side], size_hw) for side in (mine, theirs))
        return union_iou(*unions)

    def _match(self, theirs: Sequence[Instance], mine: Sequence[Instance]) -> _Pairs:
        ious = box_iou_matrix([one.box_xywh for one in theirs], [one.box_xywh for one in mine])
        return match_pairs(ious, min_iou=self.match_iou)

    def _lowest_inside(self, pairs: Sequence[tuple[Instance, Instance]]) -> float | None:
        """Of the second's confident joints in the teacher's masks."""
        shares = (
            share_inside(other.keypoints, own.mask, min_keypoint_score=self.min_keypoint_score)
            for other, own in pairs
            if other.keypoints
        )
        return min((share for share in shares if share is not None), default=None)
