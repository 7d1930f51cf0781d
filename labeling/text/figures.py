"""Numbers and units formatted for people."""

from collections.abc import Sequence

_MINUTE_S = 60
_HOUR_S = 3600


def count(number: int) -> str:
    """Format with separators: 12,480."""
    return f"{number:,}"


def count_of(number: int, noun: str) -> str:
    """Format a number and its noun.

    >>> count_of(1, "frame"), count_of(12480, "frame")
    ('1 frame', '12,480 frames')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(part: float, whole: float) -> str:
    """Format a share in per cent; only zero gives 0 %, and only everything 100 %.

    >>> percent(1, 3), percent(0, 3), percent(1, 100_000), percent(99_999, 100_000), percent(1, 0)
    ('33.3 %', '0 %', 'under 0.1 %', 'over 99.9 %', '0 %')
    """
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    if share < 0.1:  # noqa: PLR2004  # one digit would round to 0
        return "under 0.1 %"
    if 99.9 < share < 100:  # noqa: PLR2004  # one digit would round to 100
        return "over 99.9 %"
    return "100 %" if share == 100 else f"{share:.1f} %"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """Format seconds in suitable units.

    >>> duration(0.25), duration(72), duration(4_000), duration(100_000)
    ('0.25 s', '1 min 12 s', '1 h 07 min', '27 h 47 min')
    """
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s" if seconds >= 10 else f"{seconds:.2g} s"  # noqa: PLR2004  # two digits either way
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02} s"
    minutes = round(seconds / _MINUTE_S)
    return f"{minutes // 60} h {minutes % 60:02} min"


def spaced(name: str) -> str:
    """Return an identifier as words: `several_people` becomes `several people`."""
    return name.replace("_", " ")


def caption_of(decision: str, iou: float | None, causes: Sequence[str] = ()) -> str:
    """Format a decision, its union IoU and its causes on one line.

    >>> caption_of("review", 0.314, ["miss", "miss", "boundary"])
    'review · IoU 0.31 · 2 x miss, boundary'
    """
    parts = [decision] if iou is None else [decision, f"IoU {iou:.2f}"]
    counts = {cause: causes.count(cause) for cause in causes}
    named = ", ".join(cause if count == 1 else f"{count} x {cause}" for cause, count in counts.items())
    return " · ".join([*parts, named] if named else parts)


def clock(pts_ms: int) -> str:
    """Format a time in a video as mm:ss.mmm, with hours from one hour on.

    >>> clock(83_040), clock(3_600_000)
    ('01:23.040', '1:00:00.000')
    """
    minutes, ms = divmod(pts_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    rest = f"{minutes:02}:{ms // 1000:02}.{ms % 1000:03}"
    return f"{hours}:{rest}" if hours else rest


def thousandfold(value: float | None) -> float | None:
    """Return 1000 times a small figure, as papers show errors.

    >>> thousandfold(0.25), thousandfold(None)
    (250.0, None)
    """
    return None if value is None else 1000 * value
