"""Record of which URL gave which file, so that nothing is downloaded twice."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from labeling.sources.content_store import kept_path
from labeling.sources.source import FetchedSource, SourceItem
from labeling.storage.atomic import storage_errors, write_atomically

_FOLDER = ".receipts"


class DownloadArchive:
    """One small JSON file per URL beside the downloads; several processes may use them at the same time.

    To download a URL again, delete the file that it gave.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> FetchedSource | None:
        """Return the download under `key` if its file still exists."""
        try:
            record = json.loads(self._path(key).read_text(encoding="utf-8"))
            path = kept_path(self._folder, Path(record["file"]).name)
            source = SourceItem(**record["origin"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or written by another version
            return None
        return FetchedSource(source, path) if path.is_file() else None

    def keep(self, fetched: FetchedSource, *keys: str) -> None:
        """Record a download under each of these keys."""
        if fetched.path is None:
            return
        fields = asdict(replace(fetched.origin, address=None))
        record = json.dumps({"file": fetched.path.name, "origin": fields}, ensure_ascii=False, indent=1)
        for key in keys:
            path = self._path(key)
            with storage_errors(path):
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, record.encode())

    def _path(self, key: str) -> Path:
        return self._folder / _FOLDER / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
