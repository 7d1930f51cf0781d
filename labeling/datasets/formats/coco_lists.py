"""Parts of files in COCO's manner: lists of records, and licenses."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from labeling.datasets.records import DatasetFrame
from labeling.datasets.staging import export_errors


class RecordList:
    """A file with a JSON list, one record per line."""

    def __init__(self, file: IO[bytes], folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._is_empty = True

    def add(self, records: Sequence[bytes]) -> None:
        if records:
            self.write(b"" if self._is_empty else b",\n")
            self.write(b",\n".join(records))
            self._is_empty = False

    def write(self, content: bytes) -> None:
        with export_errors(self._folder):
            self._file.write(content)

    def pour(self, target: "RecordList") -> None:
        """Copy the whole file into another."""
        with export_errors(self._folder):
            self._file.seek(0)
            shutil.copyfileobj(self._file, target._file, 1 << 16)

    def close(self) -> None:
        with export_errors(self._folder):
            self._file.close()


class Licenses:
    """Numbers of licenses in order of occurrence, from 1; 0 is an unknown license."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._any_unknown = False

    def number(self, frame: DatasetFrame) -> int:
        if frame.license is None:
            self._any_unknown = True
            return 0
        license = (frame.license, frame.license_url or "")
        return self._numbers.setdefault(license, len(self._numbers) + 1)

    def records(self) -> list[dict[str, Any]]:
        """Return COCO's records of the licenses that occurred."""
        unknown = [{"id": 0, "name": "unknown", "url": ""}] if self._any_unknown else []
        known = [{"id": number, "name": name, "url": url} for (name, url), number in self._numbers.items()]
        return unknown + known
