"""The record of a run that a report renders; the caller fills it from the database."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model of the run."""

    role: str
    """teacher, student or pose."""
    name: str
    """Kind and name, `torchvision:maskrcnn_resnet50_fpn_v2`."""
    weights_sha256: str
    """Empty for a model without weights."""
    refiners: tuple[str, ...] = ()
    """Refiners of its masks, in order."""


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The identity of a run."""

    run_id: str
    config_name: str
    code_version: str
    models: tuple[ModelLine, ...]
    started_at: datetime | None = None
    """UTC."""
    finished_at: datetime | None = None
    """UTC; None: not finished."""


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """Frames at each stage: sampled = rejected + compared, compared = easy + hard, hard = accepted + review."""

    sampled: int
    """Sampled frames."""
    rejected: tuple[tuple[str, int], ...]
    """(rule, frames), in the order of display."""
    compared: int
    easy: int
    hard: int
    accepted: int
    review: int

    @classmethod
    def from_counts(cls, counts: Mapping[str, int]) -> Self:
        """Read a run's counts by name: `sampled`, `rejected:<rule>`, `compared` and so on.

        A missing name counts 0. The rule that rejected most frames comes first.
        """
        prefix = "rejected:"
        rules = [(name.removeprefix(prefix), n) for name, n in counts.items() if name.startswith(prefix)]
        return cls(
            sampled=counts.get("sampled", 0),
            rejected=tuple(sorted(rules, key=lambda rule: (-rule[1], rule[0]))),
            compared=counts.get("compared", 0),
            easy=counts.get("easy", 0),
            hard=counts.get("hard", 0),
            accepted=counts.get("accepted", 0),
            review=counts.get("review", 0),
        )


@dataclass(frozen=True, slots=True)
class AgreementHistogram:
    """Compared frames by union IoU."""

    counts: tuple[int, ...]
    """Frames in each of equally wide bins over [0, 1], without those in which neither model found a person."""
    both_empty: int
    """Frames in which neither model found a person."""
    hard_below: float
    """The run's threshold."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """The time of one stage."""

    stage: str
    seconds: float
    """Wall seconds, summed over shards; stages overlap."""
    frames: int | None
    """Frames that passed through it; None if they are not counted."""


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """Why a source failed."""

    code: str
    """The code of an error class."""
    message: str
    advice: str = ""
    """What to do; empty: the advice for the code."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One source of the run."""

    spec: str
    """As the user wrote it: path, URL or camera."""
    title: str | None = None
    url: str | None = None
    uploader: str | None = None
    license: str | None = None
    """None: unknown."""
    frames: int | None = None
    """Sampled frames; None: unknown."""
    hard: int | None = None
    failure: SourceFailure | None = None


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """One frame of the contact sheet."""

    jpeg: bytes
    """Made by `labeling.visualization.frames.tile_jpeg`."""
    title: str
    """Of its video."""
    pts_ms: int | None
    """None for an image of a folder."""
    name: str = ""
    """File name, shown if there is no time."""
    iou: float | None = None
    decision: str = ""
    reasons: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    frame_id: int | None = None
    """The argument of `maskmill show`."""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report renders."""

    run: RunHeader
    videos: int
    images: int
    """Images of folders, which do not count as videos."""
    counts: FrameCounts
    histogram: AgreementHistogram
    causes: tuple[tuple[str, int], ...]
    """(cause, mismatches in hard frames)."""
    tiles: Iterable[ExampleImage]
    """Hardest first; iterated over once, so a generator holds one image at a time."""
    stages: tuple[StageTime, ...]
    sources: tuple[SourceLine, ...]
    reviews: tuple[tuple[str, str], ...] = ()
    """(what, value) of the review results; empty: no frame was sent for review."""
