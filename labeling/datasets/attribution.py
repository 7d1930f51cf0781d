"""`ATTRIBUTION.md`: title, author, source and license (TASL) of each video of a dataset.

https://wiki.creativecommons.org/wiki/Recommended_practices_for_attribution
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from labeling.datasets.records import DatasetFrame
from labeling.text.figures import count_of

ATTRIBUTION = "ATTRIBUTION.md"
UNKNOWN = "not stated"


class _Video(NamedTuple):
    title: str | None
    author: str | None
    source: str | None
    license: str | None
    license_url: str | None
    date: str | None


class Attribution:
    """Collects the videos of the frames that pass by; a few hundred bytes are kept for each video."""

    def __init__(self) -> None:
        self._videos: dict[str, _Video] = {}
        self._frames: dict[str, int] = {}

    def watch(self, frames: Iterable[DatasetFrame]) -> Iterator[DatasetFrame]:
        """Yield the frames unchanged."""
        for frame in frames:
            self.see(frame)
            yield frame

    def see(self, frame: DatasetFrame) -> None:
        """Credit the video of a frame."""
        if frame.video_id not in self._videos:
            self._videos[frame.video_id] = _Video(
                *(frame.title, frame.uploader, frame.source_url),
                *(frame.license, frame.license_url, frame.upload_date),
            )
            self._frames[frame.video_id] = 0
        self._frames[frame.video_id] += 1

    def page(self) -> bytes:
        """Return the page about all frames so far, in the order of their videos."""
        changes = "Frames were taken from the videos, and masks were added."
        lines = ["# Attribution", "", changes, "What a source does not state is marked so.", ""]
        for video_id, video in self._videos.items():
            lines += [_line(video, video_id, self._frames[video_id])]
        return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _line(video: _Video, video_id: str, frames: int) -> str:
    title = f"“{_plain(video.title)}”" if video.title else f"video {video_id[:12]}"
    author = _plain(video.author) if video.author else f"author {UNKNOWN}"
    date = f", {_plain(video.date)}" if video.date else ""
    source = f"<{video.source}>" if video.source else f"source {UNKNOWN}"
    license = _plain(video.license) if video.license else f"license {UNKNOWN}"
    terms = f"{license} (<{video.license_url}>)" if video.license_url else license
    return f"- {title} by {author}{date}, {source}, {terms}: {count_of(frames, 'frame')} ({video_id[:12]})"


def _plain(text: str) -> str:
    """Return one line without characters that Markdown or HTML would read."""
    line = " ".join(text.split())
    for character in ("\\", "<", "`", "[", "]", "*", "_"):
        line = line.replace(character, f"\\{character}")
    return line
