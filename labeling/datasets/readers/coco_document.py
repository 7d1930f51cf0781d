"""The JSON of a COCO file: what it is, before any record is read."""

import json
from collections.abc import Mapping
from typing import Any

from configs.errors import ModelOutputWrong

_PACKED = {b"\x1f\x8b": "compressed with gzip", b"PK\x03\x04": "a ZIP archive"}
"""What files that begin so are."""
_SHOWN = 5


def parse_document(content: bytes, *, origin: str) -> Any:
    """Return the JSON of a file.

    Raises:
        ModelOutputWrong: it is compressed, or no JSON; the message names `origin`.
    """
    for begin, kind in _PACKED.items():
        if content.startswith(begin):
            raise ModelOutputWrong(f"{origin} is {kind}: unpack it first")
    if not content.strip():
        raise ModelOutputWrong(f"{origin} is empty: export it again as COCO")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as exc:
        hint = (
            "one JSON value per line; join them to a list"
            if _is_lines(content)
            else "export it again as COCO"
        )
        raise ModelOutputWrong(f"{origin} is not JSON ({exc}): {hint}") from exc


def require_annotations(tree: Any, *, origin: str) -> Mapping[str, Any]:
    """Return the object with `images` and `annotations` that a ground truth must be.

    Raises:
        ModelOutputWrong: it is something else; the message says what.
    """
    if isinstance(tree, list):
        raise ModelOutputWrong(
            f"{origin} is a list, as the results of a model are, and has no `images`: a ground truth is an object with "
            "`images` and `annotations`; give results as teacher or student of kind masks_folder"
        )
    if not isinstance(tree, Mapping):
        raise ModelOutputWrong(f"{origin} holds {type(tree).__name__}, not COCO: export it again as COCO")
    if missing := [key for key in ("images", "annotations") if not isinstance(tree.get(key), list)]:
        shown = ", ".join(list(map(str, tree))[:_SHOWN]) or "none"
        raise ModelOutputWrong(
            f"{origin} is not COCO: it has no list `{'` and no list `'.join(missing)}` (its keys: {shown}); export it again as COCO"
        )
    return tree


def _is_lines(content: bytes) -> bool:
    """Return whether the first line alone is JSON, and others follow."""
    first, _, rest = content.strip().partition(b"\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return rest.strip().startswith((b"{", b"["))
