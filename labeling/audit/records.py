"""What an audit keeps of each image and suspect: small records, and masks in a file."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO

from labeling.audit.suspects import Suspect
from labeling.structures.masks import BoxXywh, Mask


@dataclass(frozen=True, slots=True)
class SuspectRecord:
    """A suspect with the names of what it is about."""

    suspect: Suspect
    split: str
    image: str
    """File name."""
    image_id: str
    annotations: tuple[str, ...]
    """Ids of the labels; empty for a missing one."""
    box_xywh: BoxXywh
    """Around the labels, or around the person without a label."""
    area_share: float
    """Share of the image that the labels cover."""
    area_px: int
    masks_at: int
    """Position in the `MaskFile`."""


@dataclass(frozen=True, slots=True)
class MaskFile:
    """Masks of suspects in a temporary file, because there may be as many as labels.

    >>> with open_mask_file() as masks:
    ...     at = masks.add([Mask.empty((2, 3))], [])
    ...     masks.read(at) == ([Mask.empty((2, 3))], [])
    True
    """

    _file: IO[bytes]

    def add(self, labels: Sequence[Mask], people: Sequence[Mask]) -> int:
        """Append the masks of labels and of the teacher's people; return their position."""
        at = int(self._file.seek(0, 2))
        sides = [[[list(mask.size_hw), mask.counts.decode()] for mask in side] for side in (labels, people)]
        self._file.write(json.dumps(sides).encode() + b"\n")
        return at

    def read(self, at: int) -> tuple[list[Mask], list[Mask]]:
        """Return the masks of labels and people."""
        self._file.seek(at)
        labels, people = (
            [Mask.from_coco({"size": size, "counts": counts}) for size, counts in side]
            for side in json.loads(self._file.readline())
        )
        return labels, people


@contextmanager
def open_mask_file() -> Iterator[MaskFile]:
    """Open a mask file; it is deleted when it is closed."""
    with tempfile.TemporaryFile(prefix="maskmill-") as file:
        yield MaskFile(file)


@dataclass(frozen=True, slots=True)
class AuditCounts:
    """Sizes of one audited file."""

    images: int = 0
    labels: int = 0
    people: int = 0
    """That the teacher found."""

    def plus(self, *, images: int = 0, labels: int = 0, people: int = 0) -> "AuditCounts":
        return AuditCounts(self.images + images, self.labels + labels, self.people + people)

    def to_tree(self) -> dict[str, int]:
        return asdict(self)
