"""Recordings of local streams, and what is in them."""

import io
from pathlib import Path
from typing import Any

import av
from numpy.typing import NDArray

from configs.errors import SourceError
from configs.models import Ingest
from labeling.sources.cameras import Recording, record_camera
from tests.fakes.videos import encode_numbers

FPS = 10
INGEST = Ingest(reconnects=2, backoff_s=0.01, timeout_s=3, segment_s=60, record_s=60)


def record(url: str, home: Path, ingest: Ingest = INGEST) -> tuple[list[Recording], SourceError | None]:
    """Return the recordings, and the error that ended them."""
    recordings: list[Recording] = []
    try:
        for recording in record_camera(url, home, ingest):
            recordings.append(recording)  # results before an error count
    except SourceError as exc:
        return recordings, exc
    return recordings, None


def ts(start: int, end: int, *, b_frames: int = 0, grain: int = 0) -> bytes:
    return encode_numbers(range(start, end), fps=FPS, form="mpegts", b_frames=b_frames, grain=grain)


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.name


def images_of(source: Path | io.BytesIO) -> list[NDArray[Any]]:
    """Return decoded frames: equal ones were copied and not encoded again."""
    with av.open(str(source) if isinstance(source, Path) else source, "r") as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0) if frame.time is not None]
