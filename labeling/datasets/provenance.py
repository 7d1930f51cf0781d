"""Where a frame comes from, as JSON: in COCO's image records, and in `frames.jsonl` where a format
has no room for it."""

import json
from pathlib import Path
from typing import Any, Self

import orjson

from labeling.datasets.records import DatasetFrame
from labeling.datasets.staging import export_errors


def describe_origin(frame: DatasetFrame) -> dict[str, Any]:
    """Video, time, source and decision; `split` only where the dataset is divided."""
    origin: dict[str, Any] = {
        "video_id": frame.video_id,
        "t_ms": frame.t_ms,
        "source_url": frame.source_url,
        "title": frame.title,
        "uploader": frame.uploader,
        "upload_date": frame.upload_date,
        "decision": frame.decision,
    }
    return origin if frame.split is None else {**origin, "split": frame.split}


def to_json(value: object) -> str:
    """Compact, and escaped to ASCII so that a reader's default encoding does not matter."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def record_line(record: dict[str, Any]) -> bytes:
    """What `to_json` writes, several times as fast: by orjson, where that is known to write the same.

    orjson does not escape to ASCII, and writes other exponents than Python: no number may be below 1e-4.
    """
    try:
        line = orjson.dumps(record)
    except TypeError:  # a lone surrogate, as file names that are no UTF-8 have
        return to_json(record).encode("ascii")
    return line if line.isascii() and b"\x7f" not in line else to_json(record).encode("ascii")


class OriginLines:
    """`frames.jsonl`: a line per frame."""

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
