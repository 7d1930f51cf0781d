"""Pictures for a server that does not share our disk."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from labeling.studio.connection import Connection

MAX_FILES = 100
"""Uploaded per request: Label Studio answers 500 to more (Django's DATA_UPLOAD_MAX_NUMBER_FILES)."""
_PREFIX = re.compile(r"^[0-9a-f]{8}-")
"""Label Studio puts it before the name of an uploaded file."""


def upload_pictures(connection: Connection, project: int, paths: Sequence[Path]) -> dict[Path, str]:
    """Send files; where the server shows each. One that was sent before is there twice: to look for it
    would be to list all that ever were."""
    shown: dict[str, str] = {}
    wanted = list(dict.fromkeys(paths))
    for begin in range(0, len(wanted), MAX_FILES):
        shown |= _upload(connection, project, wanted[begin : begin + MAX_FILES])
    return {path: f"/data/{shown[path.name]}" for path in paths}


def _upload(connection: Connection, project: int, paths: Sequence[Path]) -> dict[str, str]:
    # A field of its own each: of files in one field, Label Studio reads the last.
    files = [(f"file{i}", (path.name, path.read_bytes())) for i, path in enumerate(paths)]
    answer = connection.post(f"/api/projects/{project}/import", files=files, commit_to_project="false")
    ids = json.dumps(answer["file_upload_ids"])
    uploads = connection.get(f"/api/projects/{project}/file-uploads", ids=ids)
    return {_original_name(upload["file"]): str(upload["file"]) for upload in uploads}


def _original_name(upload: str) -> str:
    return _PREFIX.sub("", upload.rpartition("/")[2])
