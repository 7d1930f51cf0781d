"""Labeled images, and frames beside their ground truth."""

from dataclasses import dataclass
from pathlib import Path

from labeling.evaluation.detection_metrics import ImageMatch
from labeling.evaluation.temporal_metrics import TemporalErrors
from labeling.structures.masks import BoxXywh, Mask, check_size
from labeling.structures.records import LabeledFrame


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """An image and its labeled people."""

    path: Path
    size_hw: tuple[int, int]
    people: tuple[Mask, ...]
    """One mask per person; one mask for all people if `is_joined`."""
    ignored: Mask
    """Pixels whose ground truth is not known."""
    is_partial: bool = False
    """There may be more people."""
    is_joined: bool = False
    """One mask may show several people."""
    boxes: tuple[BoxXywh, ...] | None = None
    """One box per person if not all have a mask, which leaves `people` empty; None: all have."""
    tracks: tuple[str | None, ...] = ()
    """The track of each person, which may be None; empty: the ground truth has no tracks."""
    pts_ms: int | None = None
    """Time of the image, if the set's images are the frames of one shot."""
    moment: tuple[str, int] | None = None
    """Name of its video and time in it in ms, for the errors over time; None: not a frame of a video."""
    is_synthetic: bool = False
    """A composite."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def person_boxes(self) -> tuple[BoxXywh, ...]:
        """One box per person, tight around the masks if there are masks."""
        return tuple(mask.box_xywh for mask in self.people) if self.boxes is None else self.boxes

    def check_size(self, size_hw: tuple[int, int]) -> None:
        """Raise `ModelOutputWrong` if the image's size differs from that of the ground truth."""
        check_size(self.size_hw, size_hw, f"ground truth of {self.path}")


@dataclass(frozen=True, slots=True)
class EvaluatedFrame:
    """A frame beside its ground truth. IoUs are of unions: the masks of all people together."""

    dataset: str
    name: str
    people: int
    """Masks of the ground truth, or its boxes if it has only boxes."""
    decision: str
    reasons: tuple[str, ...]
    agreement: float | None
    """IoU of student and teacher; None: a filter rejected the frame."""
    expected_agreement: float | None
    """That IoU with the teacher's scores considered (`labeling.comparison.agreement.expected_iou`); it orders the
    frames. None: a filter rejected the frame."""
    student_iou: float | None
    """IoU with the ground truth outside ignored regions; 1 if both are empty. None, as for the next two: a filter
    rejected the frame, or its ground truth has only boxes."""
    teacher_iou: float | None
    corrected_px: int | None
    """Pixels of the teacher's masks that a person would have to change."""
    trust: float | None = None
    """Probability, by the calibration, that the teacher's masks are right. None also if only some people are
    labeled, or by boxes: it cannot be checked then."""
    value: float | None = None
    """Priority in the review queue; None: the frame is not hard."""
    teacher_people: ImageMatch | None = None
    """Its instances matched with the labeled people. None: a filter rejected the frame, or the ground truth or the
    model does not separate people."""
    student_people: ImageMatch | None = None
    teacher_boundary_iou: float | None = None
    """Boundary IoU of the unions with the ground truth outside ignored regions; None as for `teacher_iou`."""
    teacher_over_time: TemporalErrors | None = None
    """Errors of its masks' union over time; None: the set has no consecutive frames, or as for `teacher_iou`."""
    student_over_time: TemporalErrors | None = None
    tracks: tuple[str, ...] = ()
    """Visible people, if the ground truth has a `track_id` (`VIDEO/TRACK` if it also names the video)."""


@dataclass(frozen=True, slots=True)
class EvaluatedImage:
    """One labeled image with the predictions for it and their scores."""

    labeled: LabeledImage
    predicted: LabeledFrame
    frame: EvaluatedFrame
