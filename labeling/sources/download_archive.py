"""Which URL gave which file, so that nothing is downloaded twice."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from labeling.sources.content_store import kept_path
from labeling.sources.source import FetchedSource, SourceItem
from labeling.storage.atomic import storage_errors, write_atomically

_FOLDER = ".receipts"


class DownloadArchive:
    """One small file per URL beside the downloads; several processes may use them at once.

    To download a URL again, remove the file that it gave.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> FetchedSource | None:
        """What `key` gave, if that is still there."""
        try:
            receipt = json.loads(self._path(key).read_text(encoding="utf-8"))
            path = kept_path(self._folder, Path(receipt["file"]).name)
            origin = SourceItem(**receipt["origin"])
        except (
            FileNotFoundError,
            ValueError,
            KeyError,
            TypeError,
        ):  # none, or one that another version wrote
            return None
        return FetchedSource(origin, path) if path.is_file() else None

    def keep(self, fetched: FetchedSource, *keys: str) -> None:
        """Remember what was downloaded under each of these keys.

        Raises:
            DiskFull, HomeNotWritable: it cannot be written.
        """
        if fetched.path is None:
            return
        fields = asdict(replace(fetched.origin, address=None))
        receipt = json.dumps({"file": fetched.path.name, "origin": fields}, ensure_ascii=False, indent=1)
        for key in keys:
            path = self._path(key)
            with storage_errors(path):
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, receipt.encode())

    def _path(self, key: str) -> Path:
        return self._folder / _FOLDER / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
