"""Stretches of a video in which nothing was filmed although its clock went on.

Times are exact seconds from the first frame, as in `Clip`.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from heapq import heappush, heappushpop
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from labeling.structures.frames import Gap
from labeling.video.containers import main_stream, open_video, read_packets
from labeling.video.recordings import ContinuousTime
from labeling.video.timestamps import FALLBACK_STEP_S, LARGEST_RATE_ERROR, LARGEST_STEP_S

_REORDERED = 32
"""Twice the frames by which H.264 and HEVC may reorder."""


def find_gaps(path: Path, fps: Fraction | None) -> tuple[Gap, ...]:
    """Return the gaps of a video in order; reads all packets and decodes none.

    Raises:
        SourceError: the file cannot be opened.
    """
    longest_s = max(LARGEST_STEP_S, LARGEST_RATE_ERROR / fps if fps else LARGEST_STEP_S)
    gaps: list[Gap] = []
    with open_video(path) as container:
        stream = main_stream(container, path)
        times = _in_order(
            _shown_times(container, stream, ContinuousTime(1 / fps if fps else FALLBACK_STEP_S))
        )
        first_s = before_s = next(times, Fraction(0))
        for now_s in times:
            if now_s - before_s > longest_s:
                gaps.append((before_s - first_s, now_s - first_s))
            before_s = now_s
    return tuple(gaps)


def _shown_times(container: InputContainer, stream: VideoStream, time: ContinuousTime) -> Iterator[Fraction]:
    """Yield when each packet's frame is shown; packets come in the order in which they are decoded."""
    for packet in read_packets(container, stream, from_key=False):
        if packet is None or packet.time_base is None:
            continue
        if packet.dts is not None:
            time.next(packet.dts * packet.time_base)  # they step back only where another recording begins
        shown = packet.dts if packet.pts is None else packet.pts
        if shown is not None:
            yield shown * packet.time_base + time.shift_s


def _in_order(times: Iterable[Fraction]) -> Iterator[Fraction]:
    """Yield times in order, of which none comes more than `_REORDERED` places late."""
    waiting: list[Fraction] = []
    for time_s in times:
        if len(waiting) < _REORDERED:
            heappush(waiting, time_s)
        else:
            yield heappushpop(waiting, time_s)
    yield from sorted(waiting)


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
