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


def record_lines(records: Sequence[dict[str, Any]], leasts: Sequence[float] | None = None) -> bytes:
    """What `to_json` writes of each, one below the other with commas between, many times as fast: by
    orjson, where that is known to write the same.

    orjson neither escapes to ASCII nor writes an exponent where Python does. NaN it writes as null:
    refuse it before.

    Args:
        records: each begins with its `id`; no list within them holds objects.
        leasts: of each record the smallest number that is not 0; none: 1.
    """
    together = _quick_lines(records, min(leasts, default=1.0) if leasts else 1.0)
    if together is not None:
        return together
    each = leasts or [1.0] * len(records)
    return _BETWEEN.join(_record_line(one, least) for one, least in zip(records, each, strict=True))


def _record_line(record: dict[str, Any], least: float) -> bytes:
    return _quick_lines([record], least) or to_json(record).encode("ascii")


def _quick_lines(records: Sequence[dict[str, Any]], least: float) -> bytes | None:
    """By orjson; None where it may write something else than Python.

    All in one call: a call for each takes three times as long. In a string a quote is escaped, so what
    stands between two records stands nowhere else.
    """
    if least < _LEAST_PLAIN:
        return None
    try:
        lines = orjson.dumps(records)[1:-1].replace(b'},{"id":', b'},\n{"id":')
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
