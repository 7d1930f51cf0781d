"""Comparison of the verifier's result with the teacher's: the unions of masks, and person by person.

Only what the verifier gives is compared. A verifier with keypoints but no masks has no union, and one with a
single mask for all people is not compared person by person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from configs.models import RunConfig
from labeling.comparison.iou import match_pairs, union_iou
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.keypoints import share_inside
from labeling.structures.masks import box_iou_matrix, union_masks
from labeling.trust.evidence import DEFAULT_KEYPOINT_SCORE, SecondOpinion


@dataclass(frozen=True, slots=True)
class SecondOpinionComparer:
    """Compares a verifier's instances with the teacher's."""

    gives_masks: bool
    both_give_instances: bool
    min_score: float
    """Score from which the verifier is sure of a person."""
    match_iou: float
    """IoU of boxes from which two instances are the same person."""
    min_keypoint_score: float

    @classmethod
    def of(cls, config: RunConfig, teacher: ModelCard, verifier: ModelCard) -> Self:
        pose = config.pose_filter
        return cls(
            gives_masks=verifier.gives_masks,
            both_give_instances=teacher.gives_instances and verifier.gives_instances,
            min_score=config.trust.min_score,
            match_iou=config.agreement.match_iou,
            min_keypoint_score=pose.min_keypoint_score if pose else DEFAULT_KEYPOINT_SCORE,
        )

    def compare(
        self, teacher: Sequence[Instance], verifier: Sequence[Instance], size_hw: tuple[int, int]
    ) -> SecondOpinion:
        """Compare one frame's instances.

        An empty mask without keypoints is no person; one with keypoints is a person without an outline.
        """
        teacher = [instance for instance in teacher if instance.mask]
        verifier = [instance for instance in verifier if instance.mask or instance.keypoints]
        iou = self._union_iou(teacher, verifier, size_hw)
        if not self.both_give_instances:
            return SecondOpinion(iou)
        sure = [instance for instance in verifier if instance.score >= self.min_score]
        pairs = self._match(sure, teacher)
        return SecondOpinion(
            iou,
            missed=len(sure) - len(pairs),
            unseen=len(teacher) - len(self._match(verifier, teacher)),
            keypoints_inside=self._lowest_inside([(sure[row], teacher[column]) for row, column, _ in pairs]),
        )

    def _union_iou(
        self, teacher: Sequence[Instance], verifier: Sequence[Instance], size_hw: tuple[int, int]
    ) -> float | None:
        if verifier and not (self.gives_masks and any(instance.mask for instance in verifier)):
            return None
        unions = (union_masks([instance.mask for instance in side], size_hw) for side in (teacher, verifier))
        return union_iou(*unions)

    def _match(
        self, verifier: Sequence[Instance], teacher: Sequence[Instance]
    ) -> list[tuple[int, int, float]]:
        ious = box_iou_matrix(
            [instance.box_xywh for instance in verifier], [instance.box_xywh for instance in teacher]
        )
        return match_pairs(ious, min_iou=self.match_iou)

    def _lowest_inside(self, pairs: Sequence[tuple[Instance, Instance]]) -> float | None:
        """Return the lowest share of the verifier's confident keypoints in the teacher's mask."""
        shares = (
            share_inside(found.keypoints, own.mask, min_keypoint_score=self.min_keypoint_score)
            for found, own in pairs
            if found.keypoints
        )
        return min((share for share in shares if share is not None), default=None)
