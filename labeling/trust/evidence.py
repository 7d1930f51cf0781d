"""Numbers that speak for or against a teacher's masks."""

from dataclasses import dataclass

from configs.categories import PERSON

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
    refined_iou: float | None = None
    """IoU of the refined mask with the teacher's first one, in [0, 1]; None: not refined."""
    networks_iou: float | None = None
    """IoU of the masks that the teacher's two networks drew, in [0, 1]; None: it has one. No calibration uses it
    (docs/calibration.md)."""
    coherence: float | None = None
    """IoU with the person's mask in the previous frame, moved by optical flow, in [0, 1]; None: not measured, or not known
    (`labeling.trust.flow_consistency`). The shipped calibrations do not use it (docs/calibration.md)."""

    category: str = PERSON
    """Of the dataset; calibrations know people only."""
    student_iou: float | None = None
    """IoU with the student's masks within the mask's widened box, in [0, 1]; None: not measured (`trust.unit: frame`)."""


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
    student_outside: float | None = None
    """Share of the student's pixels outside all masks, in [0, 1], 0 without any pixel; None: not measured."""

    @property
    def refined_iou(self) -> float | None:
        """The lowest of all instances: how much refinement changed; None: none was refined."""
        ious = [instance.refined_iou for instance in self.instances if instance.refined_iou is not None]
        return min(ious, default=None)

    @property
    def coherence(self) -> float | None:
        """The lowest of all instances; None: of none known."""
        known = [instance.coherence for instance in self.instances if instance.coherence is not None]
        return min(known, default=None)

    @property
    def keypoints_inside(self) -> float | None:
        """The lowest share of all instances; None: no keypoints."""
        shares = [
            instance.keypoints_inside for instance in self.instances if instance.keypoints_inside is not None
        ]
        return min(shares, default=None)
