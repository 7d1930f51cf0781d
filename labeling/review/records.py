"""What goes to Label Studio (review items) and what comes back (reviewed frames)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask

Origin = Literal["prediction", "prediction-changed", "manual"]
"""Label Studio's words: a region taken over untouched, corrected, or drawn by hand."""

Verdict = Literal["correct", "corrected", "unusable", "skipped"]
"""`correct`: every prediction untouched and none missing; `corrected`: something was changed, which includes
that nobody is there; `unusable`: not fit for a dataset; `skipped`: the annotator passed it over."""


@dataclass(frozen=True, slots=True)
class ProposedInstance:
    """One of the teacher's masks, as a person is shown it."""

    id: int
    """The instance's id in our database: a region keeps it through edits."""
    mask: Mask
    score: float
    keypoints: Keypoints | None = None


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One frame on its way to a person."""

    frame_id: int
    image: str
    """Name of the image below the home's folder `images`, or in its store, such as `ab/abcd....jpg`."""
    size_hw: tuple[int, int]
    why: str
    """Why this frame is here, one line for people."""
    title: str
    """Video or image, and the time in it."""
    iou: float
    """Agreement of student and teacher."""
    teacher: tuple[ProposedInstance, ...]
    teacher_model: str
    """`kind:name`."""
    value: float
    """What a look at it is worth: the order in which frames are shown, highest first."""
    student: Mask | None = None
    """Everybody that the student saw; None or empty: nobody."""
    student_model: str = ""


@dataclass(frozen=True, slots=True)
class ReviewedInstance:
    """One person as an annotator left it."""

    mask: Mask
    origin: Origin
    source_id: int | None
    """`ProposedInstance.id` of the region it comes from; None: drawn by hand."""
    keypoints: Keypoints | None = None


@dataclass(frozen=True, slots=True)
class ReviewedFrame:
    """One annotation: one annotator's word on one frame."""

    frame_id: int
    task: int
    """Label Studio's task id."""
    number: int
    """Label Studio's annotation id."""
    annotator: str
    """E-mail, or `user N` where the server does not tell."""
    verdict: Verdict
    instances: tuple[ReviewedInstance, ...]
    seconds: float | None
    """`lead_time`: seconds of human work, summed over sessions; None: not measured."""
    created_at: datetime
    """UTC, naive."""
    updated_at: datetime
    """UTC, naive."""
    note: str = ""
    """What the annotator wrote."""
    problems: tuple[str, ...] = ()
    """What could not be understood: a label that is not ours, a region of another image size."""
