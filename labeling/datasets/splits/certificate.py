"""The leak certificate: how near the frames of val and test are to those of train."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from labeling.datasets.splits.descriptors import METHOD
from labeling.datasets.splits.similarity import NEAR


@dataclass(frozen=True, slots=True)
class NearestPair:
    """A frame of val or test, and the most similar frame of train."""

    split: str
    frame: int
    file_name: str
    video_id: str
    image: str
    """Its name in the database."""
    similarity: float
    """-1 to 1."""
    nearest_frame: int
    nearest_file_name: str
    nearest_video_id: str
    nearest_image: str


@dataclass(frozen=True, slots=True)
class LeakCertificate:
    """What was compared, and what was found."""

    version: str
    id: str
    """SHA-256 of the content."""
    frames: dict[str, int]
    """By split."""
    pairs: Sequence[NearestPair]
    """Most similar first; empty if there is no frame of train, or none of val and test."""
    videos_in_two_splits: int
    sources_in_two_splits: int
    unreadable: int
    """Frames whose image could not be read, and was not compared."""

    @property
    def near(self) -> int:
        """Number of frames with a near-duplicate in train."""
        return sum(pair.similarity >= NEAR for pair in self.pairs)

    @property
    def is_clean(self) -> bool:
        """Return whether nothing of train was found in val or test."""
        return not (self.near or self.videos_in_two_splits or self.sources_in_two_splits)

    def to_json(self) -> bytes:
        """Return the certificate as JSON, with all pairs."""
        left_out = ("image", "nearest_image")
        pairs = [
            {key: value for key, value in asdict(pair).items() if key not in left_out} for pair in self.pairs
        ]
        content = {
            "version": self.version,
            "id": self.id,
            "method": METHOD,
            "near_from": NEAR,
            "is_clean": self.is_clean,
            "frames": self.frames,
            "frames_near_train": self.near,
            "videos_in_two_splits": self.videos_in_two_splits,
            "sources_in_two_splits": self.sources_in_two_splits,
            "frames_not_compared": self.unreadable,
            "nearest": pairs,
        }
        return orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"
