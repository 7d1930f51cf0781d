"""The words of a report: numbers, durations, the sentence at the top, what to do about a failure."""

from collections.abc import Sequence

from labeling.report.contents import FrameCounts, ReportData
from labeling.text.figures import count, count_of, percent

CAUSES = {
    "miss": "the student saw nobody where the teacher saw a person",
    "extra": "the student saw a person where the teacher saw nobody",
    "split": "one person of the teacher is several of the student",
    "merge": "several people of the teacher are one of the student",
    "boundary": "the same person, with another outline",
}


_ADVICE = {
    "not_found": "Check the path or address for a typing mistake and that the file still exists.",
    "unreachable": "Check the network and that the server or camera is on, then run again.",
    "removed": "The site no longer has it: take it off the list.",
    "private": "Give a cookies file of an account that may see it (ingest.cookies_file).",
    "geo_blocked": "Fetch it on a machine in a country where it is shown, then pass the file.",
    "bot_wall": "Wait, or give a cookies file from a browser session (ingest.cookies_file).",
    "rate_limited": "Wait an hour and run again with ingest.pause_s set.",
    "no_js_runtime": "Install Deno or Node.js, then run again.",
    "not_a_video": "Check that the address leads to the video itself and not to a page about it.",
    "empty_video": "Play the file: nothing in it can be decoded. Fetch or record it again.",
    "truncated": "Fetch or copy it again: the end is missing.",
    "unsupported_video": "Convert it first, for example with ffmpeg to H.264 in MP4.",
    "unsafe_archive": "Unpack it by hand where that is safe, look at it, then pass the folder.",
    "disk_full": "Free some space in the home, then run again.",
    "home_not_writable": "Give write permission on the home, or choose another.",
    "weights_missing": "Allow the download, or put the weights into weights_dir.",
    "weights_corrupt": "Delete the file, so that it is fetched again.",
}


def advice_for(code: str) -> str:
    """What to do about a failure of this code."""
    return _ADVICE.get(code, "Read the message; run again once its cause is gone.")


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
