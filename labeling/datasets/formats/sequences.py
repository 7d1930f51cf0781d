"""Frames as sequences, for formats of whole videos: one sequence per video, with people numbered by track."""

from collections.abc import Sequence
from pathlib import Path

from configs.errors import ExportError
from labeling.datasets.records import DatasetFrame, DatasetInstance

ID_LENGTH = 12
"""Digits of a video's id in the name of its sequence, as in the names of its images."""


class SequenceNames:
    """Names the sequence of each frame; frames come video after video, in the order of time.

    A sequence is a part of one video in which all images have one size: `VIDEO`, then `VIDEO-2` and so on. An
    image without a time is a sequence of its own, with the image's name.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._last: DatasetFrame | None = None
        self._name = ""
        self._part = 1

    def name_of(self, frame: DatasetFrame, *, starts_part: bool = False) -> str:
        """Return the sequence of the next frame; with `starts_part`, it begins a new one.

        Raises:
            ExportError: a video comes back after another one, or time does not increase.
        """
        last, self._last = self._last, frame
        if frame.pts_ms is None:
            return self._start(Path(frame.file_name).stem, frame)
        if last is None or last.video_id != frame.video_id or last.pts_ms is None:
            self._part = 1
            return self._start(frame.video_id[:ID_LENGTH], frame)
        if frame.pts_ms <= last.pts_ms:
            raise ExportError(
                f"frame {frame.id} of video {frame.video_id[:ID_LENGTH]} at {frame.pts_ms} ms follows one at "
                f"{last.pts_ms} ms; sort the frames of a video by time"
            )
        if starts_part or frame.size_hw != last.size_hw:
            self._part += 1
            return self._start(f"{frame.video_id[:ID_LENGTH]}-{self._part}", frame)
        return self._name

    def _start(self, name: str, frame: DatasetFrame) -> str:
        if name in ("", ".", ".."):
            raise ExportError(
                f"frame {frame.id}: {frame.file_name!r} gives no name for a sequence; rename it"
            )
        if name in self._used:
            raise ExportError(
                f"frame {frame.id}: a sequence {name!r} is complete already; sort the frames by video, and give "
                "videos and images different names"
            )
        self._used.add(name)
        self._name = name
        return name


class TrackNumbers:
    """Numbers the people of one sequence from 1, in order of appearance.

    An instance without a track, and a second one of the same track in a frame, is a person of its own, seen in one
    frame only.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self.count = 0

    def count_new(self, instances: Sequence[DatasetInstance]) -> int:
        """Return how many numbers the next frame would add."""
        tracks = [one.track_id for one in instances]
        known = {track for track in tracks if track is not None and track in self._numbers}
        return len(tracks) - len(known)

    def number(self, instances: Sequence[DatasetInstance]) -> list[int]:
        """Return the number of each instance of the next frame."""
        in_frame: set[int] = set()
        numbers = []
        for one in instances:
            number = self._numbers.get(one.track_id) if one.track_id is not None else None
            if number is None or number in in_frame:
                self.count += 1
                number = self.count
                if one.track_id is not None:
                    self._numbers.setdefault(one.track_id, number)
            in_frame.add(number)
            numbers.append(number)
        return numbers
