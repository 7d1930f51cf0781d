"""The HTML page of an audit."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labeling.audit.leaks import Leak
from labeling.audit.ranking import RankedSuspect
from labeling.audit.records import AuditCounts
from labeling.audit.suspects import Suspect
from labeling.datasets.readers.notes import RecordFault
from labeling.report.page import render_page
from labeling.text.figures import count_of
from labeling.text.phrases import format_people

MOST_FAULTS = 100
"""Records listed on the page; the JSON file has all."""
_REASONS = {
    "missing": "a person without a label",
    "leaking": "the label has pixels beside the person (IoU {iou:.2f})",
    "incomplete": "the label lacks pixels of the person (IoU {iou:.2f})",
    "outline": "the outlines differ (IoU {iou:.2f})",
    "unseen": "the teacher sees no person here",
}


@dataclass(frozen=True, slots=True)
class AuditTile:
    """A suspect with its image."""

    ranked: RankedSuspect
    jpeg: bytes

    @property
    def reason(self) -> str:
        return describe_suspect(self.ranked.record.suspect)


@dataclass(frozen=True, slots=True)
class LeakTile:
    """Two images of different splits that are nearly the same."""

    leak: Leak
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class AuditPage:
    """The content of the page."""

    config_name: str
    is_calibrated: bool
    counts: Mapping[str, AuditCounts]
    kinds: Counter[str]
    """Suspects of each kind."""
    tiles: Iterable[AuditTile]
    leaks: int
    leak_tiles: Iterable[LeakTile]
    faults: Sequence[tuple[str, RecordFault]]
    notes: Sequence[str]


def render_audit(data: AuditPage) -> str:
    """Render the page; all values are escaped."""
    return render_page(
        "audit.html.j2",
        data=data,
        sentence=_summarize(data),
        most_faults=MOST_FAULTS,
        tiles=list(data.tiles),
        leak_tiles=list(data.leak_tiles),
    )


def describe_suspect(suspect: Suspect) -> str:
    """Return what is probably wrong.

    >>> describe_suspect(Suspect("merged", (0,), (0, 1), 0.75, 0.9, 0.6))
    'one label for 2 people'
    """
    if suspect.kind == "merged":
        return f"one label for {format_people(len(suspect.people))}"
    if suspect.kind == "split":
        return f"{count_of(len(suspect.labels), 'label')} for one person"
    if suspect.shift_xy is not None:
        return f"the label must be moved {_format_move(*suspect.shift_xy)}"
    return _REASONS[suspect.kind].format(iou=suspect.iou)


def _format_move(dx: float, dy: float) -> str:
    moves = [(dx, "right" if dx > 0 else "left"), (dy, "down" if dy > 0 else "up")]
    return " and ".join(f"{abs(length):.0f} px {where}" for length, where in moves if length)


def _summarize(data: AuditPage) -> str:
    images, labels, people = (
        sum(getattr(one, name) for one in data.counts.values()) for name in ("images", "labels", "people")
    )
    return (
        f"{count_of(images, 'image')} with {count_of(labels, 'label')} of people; the teacher found "
        f"{format_people(people)}. {count_of(data.kinds.total(), 'suspect')}, "
        f"{count_of(len(data.faults), 'unsound record')} and {count_of(data.leaks, 'pair')} of images in two files."
    )
