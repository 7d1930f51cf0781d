"""Images for a server that does not share our disk."""

import json
import re
from collections.abc import Callable, Mapping, Sequence

from labeling.review.label_studio.http import Connection

MAX_FILES = 100
"""Uploaded per request: Label Studio answers 500 to more (Django's DATA_UPLOAD_MAX_NUMBER_FILES)."""
_PREFIX = re.compile(r"^[0-9a-f]{8}-")
"""Label Studio puts it before the name of an uploaded file."""


def upload_images(
    connection: Connection, project: int, names: Sequence[str], read: Callable[[str], bytes]
) -> dict[str, str]:
    """Send images by their names, which may begin with a folder; where the server shows each. One that
    was sent before is there twice: to look for it would be to list all that ever were."""
    shown: dict[str, str] = {}
    wanted = list(dict.fromkeys(names))
    for begin in range(0, len(wanted), MAX_FILES):
        batch = {_last(name): read(name) for name in wanted[begin : begin + MAX_FILES]}
        shown |= _upload(connection, project, batch)
    return {name: f"/data/{shown[_last(name)]}" for name in names}


def _upload(connection: Connection, project: int, images: Mapping[str, bytes]) -> dict[str, str]:
    # A field of its own each: of files in one field, Label Studio reads the last.
    files = [(f"file{i}", named) for i, named in enumerate(images.items())]
    answer = connection.post(f"/api/projects/{project}/import", files=files, commit_to_project="false")
    ids = json.dumps(answer["file_upload_ids"])
    uploads = connection.get(f"/api/projects/{project}/file-uploads", ids=ids)
    return {_original_name(upload["file"]): str(upload["file"]) for upload in uploads}


def _original_name(upload: str) -> str:
    return _PREFIX.sub("", _last(upload))


def _last(name: str) -> str:
    return name.rpartition("/")[2]
