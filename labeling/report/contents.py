"""What a report says, before it is a page: the caller fills these from the ledger."""

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


@dataclass(frozen=True, slots=True)
class RunHeader:
    """Which run this is."""

    run_id: str
    config_name: str
    code_version: str
    models: tuple[ModelLine, ...]
    started_at: datetime | None = None
    """UTC."""
    finished_at: datetime | None = None
    """UTC; None: work is left."""


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """Frames at each stage: looked at = rejected + compared, compared = easy + hard, hard = accepted +
    review."""

    looked_at: int
    rejected: tuple[tuple[str, int], ...]
    """(rule, frames), in the order in which they are shown."""
    compared: int
    easy: int
    hard: int
    accepted: int
    review: int

    @classmethod
    def from_counts(cls, counts: Mapping[str, int]) -> Self:
        """Take a run's counts by name: `looked_at`, `rejected:<rule>`, `compared` and so on; a name
        that is absent counts 0. Rules come in order of their frames, most first."""
        prefix = "rejected:"
        rules = [(name.removeprefix(prefix), n) for name, n in counts.items() if name.startswith(prefix)]
        return cls(
            looked_at=counts.get("looked_at", 0),
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
    """Frames in each of equally wide bins over [0, 1], without those where both saw nobody."""
    both_empty: int
    """Frames in which teacher and student saw nobody."""
    hard_below: float
    """The run's threshold."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """What one stage cost."""

    stage: str
    seconds: float
    """Wall seconds, summed over shards; stages overlap."""
    frames: int | None
    """Frames that went through it; None where that is not counted."""


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """Why a source gave nothing."""

    code: str
    """A word of labeling.errors."""
    message: str
    advice: str = ""
    """What to do; empty: what `advice_for` says about the code."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One source of the run."""

    spec: str
    """As the user gave it: path, URL or camera."""
    title: str | None = None
    url: str | None = None
    uploader: str | None = None
    license: str | None = None
    """None: unknown."""
    frames: int | None = None
    """Frames looked at; None: not known."""
    hard: int | None = None
    failure: SourceFailure | None = None


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """One frame of the contact sheet."""

    jpeg: bytes
    """As `labeling.visualization.frames.tile_jpeg` makes it."""
    title: str
    """Of its video."""
    t_ms: int | None
    """None for an image of a folder."""
    name: str = ""
    """File name, shown where there is no time."""
    iou: float | None = None
    decision: str = ""
    reasons: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    frame_id: int | None = None
    """What `maskmill show` wants."""


@dataclass(frozen=True, slots=True)
class ReportData:
    """The whole report."""

    run: RunHeader
    videos: int
    images: int
    """Images of folders, which count as videos nowhere."""
    counts: FrameCounts
    histogram: AgreementHistogram
    causes: tuple[tuple[str, int], ...]
    """(cause, mismatches in hard frames)."""
    tiles: Iterable[ExampleImage]
    """Hardest first; taken one at a time, so a generator that draws them keeps one image only."""
    stages: tuple[StageTime, ...]
    sources: tuple[SourceLine, ...]
    reviews: tuple[tuple[str, str], ...] = ()
    """(what, value) of what people said; empty: nothing was sent for review."""
