"""The words of a report: numbers, durations, the sentence at the top, what to do about a failure."""

from collections.abc import Sequence

import labeling.errors  # noqa: F401  # defines the classes
from configs.errors import MaskmillError, error_classes
from labeling.report.contents import FrameCounts, ReportData
from labeling.text.figures import count, count_of, percent

CAUSES = {
    "miss": "the student saw nobody where the teacher saw a person",
    "extra": "the student saw a person where the teacher saw nobody",
    "split": "one person of the teacher is several of the student",
    "merge": "several people of the teacher are one of the student",
    "boundary": "the same person, with another outline",
}


def advice_for(code: str) -> str:
    """Return what to do about a failure with this code, as a sentence."""
    known = (error.advice for error in error_classes() if error.code == code)
    advice = next(known, MaskmillError.advice)
    return f"{advice[0].upper()}{advice[1:]}."


def summarize(data: ReportData) -> str:
    """What the run found, in words for a person."""
    counts = data.counts
    if not counts.looked_at:
        failed = sum(source.failure is not None for source in data.sources)
        return "No frame was looked at." + (
            f" {count_of(failed, 'source')} failed: see below." if failed else ""
        )
    opening = f"Of {count_of(counts.looked_at, 'frame')} looked at in {_places(data)},"
    if not counts.compared:
        return f"{opening} none was compared: the filters rejected every one."
    return f"{opening} {count(counts.compared)} {_were(counts.compared)} compared: {_outcome(counts)}"


def _outcome(counts: FrameCounts) -> str:
    if not counts.hard:
        return "the student agrees with the teacher on all of them."
    return (
        f"the student got {count(counts.hard)} wrong ({percent(counts.hard, counts.compared)}). "
        f"The teacher is trusted on {count(counts.accepted)} of these; "
        f"{count(counts.review)} {'waits' if counts.review == 1 else 'wait'} for review by a person."
    )


def _places(data: ReportData) -> str:
    kinds = ((data.videos, "video"), (data.images, "image"))
    return " and ".join(count_of(number, noun) for number, noun in kinds if number) or "0 videos"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def rate(frames: int | None, seconds: float) -> str:
    """Frames a second; empty where it is not known."""
    if frames is None or seconds <= 0:
        return ""
    a_second = frames / seconds
    return f"{a_second:,.0f}" if a_second >= 100 else f"{a_second:.3g}"  # noqa: PLR2004 - three digits


def listing(names: Sequence[str]) -> str:
    """Names with their counts, in order of first use: `miss, boundary (2)`."""
    return ", ".join(
        name if names.count(name) == 1 else f"{name} ({names.count(name)})" for name in dict.fromkeys(names)
    )
