"""The result of a shard: everything that is stored about its frames."""

from dataclasses import dataclass
from typing import Literal

from labeling.structures.agreement import FrameAgreement
from labeling.structures.frames import frame_key
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.reasons import Reason
from labeling.structures.tracks import ShardTrack

Role = Literal["teacher", "student"]


@dataclass(frozen=True, slots=True)
class LabeledFrame:
    """Everything that is stored about one sampled frame."""

    pts_ms: int | None
    """Presentation time in ms; None for an image without a time."""
    shot_start_ms: int
    """Presentation time of the first frame of its shot; the index of an image without a time."""
    sharpness: float
    name: str
    decision: Literal["rejected", "easy", "accepted", "review"]
    rule: str | None = None
    reasons: tuple[Reason, ...] = ()
    size_hw: tuple[int, int] | None = None
    image: str | None = None
    agreement: FrameAgreement | None = None
    trust: float | None = None
    """Probability that the teacher's masks are right; None: rejected, no person found, or no calibration."""
    priority: float | None = None
    """Priority for review (see labeling.review.queue); None: the frame is not hard."""
    teacher: tuple[Instance, ...] = ()
    student: tuple[Instance, ...] = ()
    index: int | None = None
    """Position of an image in its set; None for a frame of a video."""
    found: float | None = None
    """Probability that the teacher found every person; None: not known."""
    accepted_people: int | None = None
    """Persons accepted in a frame in which every person is found, 0 in others; None: not decided by person."""
    doubtful_people: int | None = None
    """Persons that are not accepted; None: not decided by person."""

    @property
    def key(self) -> int:
        return frame_key(self.pts_ms, self.index)


@dataclass(frozen=True, slots=True)
class ShardNote:
    """Something about a shard's images that a user should know."""

    reason: str
    """In words that fit after the number."""
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabeledShard:
    """Frames, models and statistics of one shard."""

    frames: list[LabeledFrame]
    cards: dict[str, ModelCard]
    """The model of each role."""
    counts: dict[str, int]
    """Frames per stage: sampled (all sampled frames), rejected by each rule, compared, hard, and by
    decision; and packets that could not be decoded, if any."""
    seconds: dict[str, float]
    """Wall seconds per stage; decoding and storing overlap the others."""
    tracks: tuple[ShardTrack, ...] = ()
    """Tracks of the teacher's instances, in the order in which they appear."""
    notes: tuple[ShardNote, ...] = ()
