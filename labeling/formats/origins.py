"""Where a frame comes from, as JSON: in COCO's image records, and in `frames.jsonl` where a format
has no room for it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import orjson

from labeling.formats.dataset import DatasetFrame
from labeling.formats.folder import export_errors

_LEAST_PLAIN = 1e-4
"""Python writes smaller numbers with an exponent."""
_BETWEEN = b",\n"


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


def record_line(record: dict[str, Any], *, least: float = 1.0) -> bytes:
    """What `to_json` writes, several times as fast: by orjson, where that is known to write the same.

    orjson neither escapes to ASCII nor writes an exponent where Python does: `least` is the smallest
    number in the record that is not 0, so that this is known. NaN it writes as null: refuse it before.
    """
    return _quick_lines([record], least) or to_json(record).encode("ascii")


def record_lines(records: Sequence[dict[str, Any]], leasts: Sequence[float] | None = None) -> bytes:
    """What `record_line` writes of each, one below the other with commas between.

    `leasts`: `least` of each record; none: 1.
    """
    least = min(leasts, default=1.0) if leasts else 1.0
    together = _quick_lines(records, least)
    if together is not None:
        return together
    each = leasts or [1.0] * len(records)
    return _BETWEEN.join(record_line(one, least=least) for one, least in zip(records, each, strict=True))


def _quick_lines(records: Sequence[dict[str, Any]], least: float) -> bytes | None:
    """By orjson; None where it may write something else than Python."""
    if least < _LEAST_PLAIN:
        return None
    try:
        lines = _BETWEEN.join(map(orjson.dumps, records))
    except TypeError:  # a lone surrogate, as file names that are no UTF-8 have
        return None
    return lines if lines.isascii() and b"\x7f" not in lines else None


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
            "licence": frame.licence,
            "licence_url": frame.licence_url,
            **more,
        }
        with export_errors(self._path):
            self._file.write(to_json(record) + "\n")
