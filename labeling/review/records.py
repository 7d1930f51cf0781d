"""What goes to Label Studio (review items) and what comes back (reviewed frames)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from configs.categories import PERSON
from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask

Origin = Literal["prediction", "prediction-changed", "manual"]
"""Label Studio's terms: a region that was accepted unchanged, corrected, or drawn by hand."""

Verdict = Literal["correct", "corrected", "unusable", "skipped"]
"""`correct`: all predictions unchanged and none missing; `corrected`: something was changed, for example all
people were removed; `unusable`: not fit for a dataset; `skipped`: the annotator skipped the task."""


@dataclass(frozen=True, slots=True)
class ProposedInstance:
    """One of the teacher's masks, or one carried from a reviewed frame, as it is shown to annotators."""

    id: int
    """Id of the instance in the database; the id of its region contains it."""
    mask: Mask
    score: float
    keypoints: Keypoints | None = None
    is_carried_only: bool = False
    """It was carried from a reviewed frame and the teacher has no mask of this person; `id` is no instance's."""
    track_id: int | None = None
    """Number of the person in the video; None: not tracked."""
    is_doubtful: bool | None = None
    """Annotators are asked about it; False: it is believed, and shown dim and locked; None: a mask like all others."""
    category: str = PERSON


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One frame to be reviewed."""

    frame_id: int
    image: str
    """Name of the image in the image store, such as `ab/abcd....jpg`."""
    size_hw: tuple[int, int]
    why: str
    """Why this frame needs a review: one line for annotators."""
    title: str
    """Video, time in it and numbers of the people, or name of the image."""
    iou: float
    """Agreement of student and teacher."""
    teacher: tuple[ProposedInstance, ...]
    teacher_model: str
    """`kind:name`."""
    value: float
    """Priority of its review, in [0, 1]: the highest is shown first."""
    student: Mapping[str, Mask] = field(default_factory=dict)
    """All that the student found, by category."""
    student_model: str = ""
    propagation_id: int | None = None
    """What was carried from reviewed frames and is shown as the teacher's masks; None: nothing."""


@dataclass(frozen=True, slots=True)
class ReviewedInstance:
    """One person, or one object of another category, as an annotator submitted it."""

    mask: Mask
    """Empty: it is there, but no mask of it is right."""
    origin: Origin
    source_id: int | None
    """`ProposedInstance.id` of the mask that it corrects; None: drawn by hand."""
    keypoints: Keypoints | None = None
    category: str = PERSON
    """As the annotator chose it."""


@dataclass(frozen=True, slots=True)
class ReviewedFrame:
    """One annotation: the result of one annotator for one frame."""

    frame_id: int
    task: int
    """Label Studio's task id."""
    number: int
    """Label Studio's annotation id."""
    annotator: str
    """E-mail, or `user N` where the server does not show it."""
    verdict: Verdict
    instances: tuple[ReviewedInstance, ...]
    seconds: float | None
    """`lead_time`: seconds of human work, summed over sessions; None: not measured."""
    created_at: datetime
    """UTC, naive."""
    updated_at: datetime
    """UTC, naive."""
    note: str = ""
    """Text that the annotator wrote."""
    problems: tuple[str, ...] = ()
    """What could not be read, such as an unknown label or a region of another image size."""
    is_starred: bool = False
    """Label Studio's star (`ground_truth`): it counts before the others of the frame."""
