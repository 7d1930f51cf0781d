"""Short names of sources and runs, without secrets."""

from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import urlsplit

from labeling.sources.url_policy import CAMERA_PREFIX
from labeling.text.titles import printable, shorten_middle


def source_title(spec: str) -> str:
    """Return a source's file name, or the host and last part of a URL.

    >>> source_title("/nights/monday/vtest.avi"), source_title("rtsp://me:hush@10.0.0.7/live?token=abc")
    ('vtest.avi', '10.0.0.7/live')
    """
    spec = printable(spec.removeprefix(CAMERA_PREFIX))
    return shorten_middle(_url_title(spec) if "://" in spec else PurePath(spec).name or spec)


def _url_title(url: str) -> str:
    """Return host and last part: user, password, query and fragment may be secret."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or parts.scheme
    except ValueError:
        return "a URL"
    last = PurePath(parts.path).name
    return f"{host}/{last}" if last and "@" not in parts.path else host


def run_title(sources: Sequence[str], preset: str) -> str:
    """Return a run's name: its preset and its sources.

    >>> run_title(["a/vtest.avi", "b.mp4", "c.mp4"], "lite"), run_title([], "lite")
    ('lite: vtest.avi and 2 more', 'lite: what failed before')
    """
    if not sources:
        return f"{printable(preset)}: what failed before"
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{printable(preset)}: {source_title(sources[0])}{more}"
