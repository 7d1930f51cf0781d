"""Texts of a report: the sentence at the top, rates, causes, advice about failures."""

from collections.abc import Sequence

from labeling.report.contents import FrameCounts, ReportData
from labeling.text.figures import count, count_of, percent, spaced

CAUSES = {
    "miss": "the student missed a person that the teacher found",
    "extra": "the student found a person where the teacher found none",
    "split": "the student split one person of the teacher into several",
    "merge": "the student merged several people of the teacher into one",
    "boundary": "the same person with a different outline",
}


_ADVICE = {
    "not_found": "Check the path or URL for typing errors, and that the file still exists.",
    "unreachable": "Check the network and that the server or camera is on, then run again.",
    "removed": "The site no longer has it: remove it from the list.",
    "private": "Set ingest.cookies_file to the cookies of an account that may see it.",
    "geo_blocked": "Download it in a country where it is available, then pass the file.",
    "bot_wall": "Wait, or set ingest.cookies_file to the cookies of a browser session.",
    "rate_limited": "Wait an hour and run again with ingest.pause_s set.",
    "no_js_runtime": "Install Deno or Node.js, then run again.",
    "not_a_video": "Check that the URL leads to the video itself and not to a page about it.",
    "empty_video": "Nothing in the file can be decoded: download or record it again.",
    "truncated": "The end is missing: download or copy it again.",
    "unsupported_video": "Convert it, for example with ffmpeg to H.264 in MP4.",
    "unsafe_archive": "Unpack it by hand in a safe place, check it, then pass the folder.",
    "disk_full": "Free some space in the home, then run again.",
    "home_not_writable": "Give write permission on the home, or choose another.",
    "weights_missing": "Allow the download, or copy the weights into weights_dir.",
    "weights_corrupt": "Delete the file: the next run downloads it again.",
}


def advice_for(code: str) -> str:
    """Return what to do about a failure of this code."""
    return _ADVICE.get(code, "Read the message; run again after removing its cause.")


def summarize(data: ReportData) -> str:
    """Summarize a run; if it sampled no frame, count the failed sources."""
    sentence = summary_sentence(data.counts, videos=data.videos, images=data.images)
    failed = sum(source.failure is not None for source in data.sources)
    if data.counts.looked_at or not failed:
        return sentence
    return f"{sentence} {count_of(failed, 'source')} failed: see below."


def summary_sentence(counts: FrameCounts, *, videos: int, images: int) -> str:
    """Summarize a run's counts.

    >>> summary_sentence(FrameCounts(9, (), 8, 5, 3, 1, 2), videos=1, images=0)
    'Of 9 frames sampled from 1 video, 8 were compared: the student got 3 wrong (37.5 %). The teacher is trusted on 1 of these; 2 wait for review by a person.'
    """
    if not counts.looked_at:
        return "No frame was sampled."
    kinds = ((videos, "video"), (images, "image"))
    media = " and ".join(count_of(number, noun) for number, noun in kinds if number) or "0 videos"
    opening = f"Of {count_of(counts.looked_at, 'frame')} sampled from {media},"
    if not counts.compared:
        return f"{opening} none was compared: the filters rejected every one."
    opening += f" {count(counts.compared)} {'was' if counts.compared == 1 else 'were'} compared:"
    if not counts.hard:
        return f"{opening} the student agrees with the teacher on all of them."
    return (
        f"{opening} the student got {count(counts.hard)} wrong ({percent(counts.hard, counts.compared)}). "
        f"The teacher is trusted on {count(counts.accepted)} of these; "
        f"{count(counts.review)} {'waits' if counts.review == 1 else 'wait'} for review by a person."
    )


def count_name(name: str) -> str:
    """Format the name of a count.

    >>> count_name("looked_at"), count_name("rejected:several_people")
    ('sampled', 'rejected: several people')
    """
    return "sampled" if name == "looked_at" else spaced(name.replace(":", ": "))


def rate(frames: int | None, seconds: float) -> str:
    """Format frames per second; empty if unknown."""
    if frames is None or seconds <= 0:
        return ""
    a_second = frames / seconds
    return f"{a_second:,.0f}" if a_second >= 100 else f"{a_second:.3g}"  # noqa: PLR2004 - three digits


def listing(names: Sequence[str]) -> str:
    """List names with their counts in order of first use: `miss, boundary (2)`."""
    return ", ".join(
        name if names.count(name) == 1 else f"{name} ({names.count(name)})" for name in dict.fromkeys(names)
    )
