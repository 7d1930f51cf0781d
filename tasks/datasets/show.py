"""What a dataset version consists of, for `maskmill dataset show`."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db.datasets.queries import VersionLine, find_version, version_line, version_videos
from tasks.datasets.strata import Strata, count_strata

UNKNOWN = "not stated"
"""Stands for a license or uploader that the source does not state."""


@dataclass(frozen=True, slots=True)
class VersionDetails:
    """A version, how it was made, and where its frames come from."""

    version: VersionLine
    query: dict[str, Any]
    runs: list[dict[str, Any]]
    code_version: str
    excluded: dict[str, int]
    """Frames that were left out, by reason."""
    licenses: dict[str, int]
    """Videos by license."""
    uploaders: dict[str, int]
    """Videos by uploader."""
    strata: Strata


def describe_version(session: Session, text: str) -> VersionDetails:
    """Return the details of a version; ConfigError if there is none."""
    made = find_version(session, text)
    videos = version_videos(session, made.snapshot_id)
    return VersionDetails(
        version_line(session, made),
        made.query,
        made.runs,
        made.code_version,
        made.excluded,
        dict(Counter(one.license or UNKNOWN for one in videos).most_common()),
        dict(Counter(one.uploader or UNKNOWN for one in videos).most_common()),
        count_strata(session, made),
    )
