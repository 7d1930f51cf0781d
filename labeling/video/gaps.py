"""Stretches of a video in which nothing was filmed although its clock went on.

Times are exact seconds from the first frame, as in `Clip`.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from labeling.structures.frames import Gap
from labeling.video.containers import main_stream, open_video, read_packets
from labeling.video.recordings import ContinuousTime
from labeling.video.timestamps import FALLBACK_STEP_S, LARGEST_RATE_ERROR, LARGEST_STEP_S


def find_gaps(path: Path, fps: Fraction | None) -> tuple[Gap, ...]:
    """Return the gaps of a video in order; reads all packets and decodes none.

    Raises:
        SourceError: the file cannot be opened.
    """
    longest_s = max(LARGEST_STEP_S, LARGEST_RATE_ERROR / fps if fps else LARGEST_STEP_S)
    gaps: list[Gap] = []
    with open_video(path) as container:
        stream = main_stream(container, path)
        time = ContinuousTime(1 / fps if fps else FALLBACK_STEP_S)
        first_s: Fraction | None = None
        before_s: Fraction | None = None
        for packet in read_packets(container, stream, from_key=False):
            stamp = None if packet is None else packet.dts if packet.dts is not None else packet.pts
            if packet is None or stamp is None or packet.time_base is None:
                continue
            now_s = time.next(stamp * packet.time_base)
            first_s = now_s if first_s is None else first_s
            if before_s is not None and now_s - before_s > longest_s:
                gaps.append((before_s - first_s, now_s - first_s))
            before_s = now_s
    return tuple(gaps)


def to_filmed(time_s: Fraction, gaps: Sequence[Gap]) -> Fraction:
    """Return the filmed time at a stamped one: what lies in gaps before it does not count.

    >>> float(to_filmed(Fraction(70), [(Fraction(20), Fraction(60))]))
    30.0
    """
    return time_s - sum((min(end, time_s) - start for start, end in gaps if start < time_s), Fraction(0))


def to_stamped(filmed_s: Fraction, gaps: Sequence[Gap]) -> Fraction:
    """Return the stamped time at a filmed one.

    >>> float(to_stamped(Fraction(30), [(Fraction(20), Fraction(60))]))
    70.0
    """
    for start, end in gaps:
        if start >= filmed_s:
            break
        filmed_s += end - start
    return filmed_s
