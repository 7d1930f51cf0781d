"""The origin of a frame as JSON: in COCO's image records, and in `frames.jsonl` for formats without such records."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import orjson

from labeling.datasets.records import DatasetFrame
from labeling.datasets.staging import export_errors


def describe_origin(frame: DatasetFrame) -> dict[str, Any]:
    """Return video, time, source and decision; `split` only if the dataset is divided.

    `propagated_from`, the ids of reviewed frames, only if masks carried from them confirmed this frame.
    """
    origin: dict[str, Any] = {
        "video_id": frame.video_id,
        "t_ms": frame.pts_ms,
        "source_url": frame.source_url,
        "title": frame.title,
        "uploader": frame.uploader,
        "upload_date": frame.upload_date,
        "decision": frame.decision,
    }
    if frame.propagated_from:
        origin["propagated_from"] = list(frame.propagated_from)
    return origin if frame.split is None else {**origin, "split": frame.split}


def to_json(value: object) -> str:
    """Return compact JSON in ASCII, so that a reader's default encoding does not matter."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def record_line(record: dict[str, Any]) -> bytes:
    """Return the same bytes as `to_json`, several times as fast, with orjson where its output is the same.

    orjson does not escape to ASCII and writes exponents differently: no number may be below 1e-4.
    """
    try:
        line = orjson.dumps(record)
    except TypeError:  # a lone surrogate, from a file name that is not UTF-8
        return to_json(record).encode("ascii")
    return line if line.isascii() and b"\x7f" not in line else to_json(record).encode("ascii")


_SAME_FROM, _SAME_BELOW = 1e-4, 1e16
"""Between them orjson writes numbers as Python does; others with exponents differ."""


def number_texts(numbers: Sequence[float]) -> list[bytes]:
    """Return each number as `repr` does, several times as fast for many at once. They must be finite.

    >>> number_texts([0.5, 1e-05, 1.0])
    [b'0.5', b'1e-05', b'1.0']
    """
    if not numbers:
        return []
    texts = orjson.dumps(numbers)[1:-1].split(b",")
    for position, number in enumerate(numbers):
        if number and not _SAME_FROM <= number < _SAME_BELOW:
            texts[position] = b"%a" % number
    return texts


class OriginLines:
    """Writes `frames.jsonl`, one line per frame."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with export_errors(path):
            self._file = path.open("w", encoding="ascii")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with export_errors(self._path):
            self._file.close()

    def add(self, frame: DatasetFrame, **more: object) -> None:
        record = {
            "id": frame.id,
            "file_name": frame.file_name,
            **describe_origin(frame),
            "license": frame.license,
            "license_url": frame.license_url,
            **more,
        }
        with export_errors(self._path):
            self._file.write(to_json(record) + "\n")
