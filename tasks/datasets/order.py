"""What `maskmill dataset create` is asked to make."""

from dataclasses import dataclass, field

from labeling.datasets.splits.assignment import Division
from labeling.datasets.versions.query import FrameQuery

LOCK = "dataset create"
"""One version at a time, and no garbage is collected meanwhile."""


@dataclass(frozen=True, slots=True)
class DatasetOrder:
    """What to make."""

    name: str
    query: FrameQuery = field(default_factory=FrameQuery)
    division: Division = field(default_factory=Division)
    is_frozen: bool = False
    """An evaluation set: all of it is test, and it grows by whole videos only."""
