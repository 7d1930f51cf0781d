"""What a dataset is made of, before any format: frames with their origin and their instances."""

import math
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labeling.errors import ExportError
from labeling.storage.object_store import ObjectStore
from labeling.structures.instances import COCO_KEYPOINTS, Keypoints
from labeling.structures.masks import BoxXywh, Mask

BIGGEST_ID = 2**53 - 1
"""JSON readers keep numbers as doubles: a bigger id would come back as its neighbor."""

_PLAIN_NAME = re.compile(r"^[^/\\\x00-\x1f]+$")
_PLAIN_SPLIT = re.compile(r"^[A-Za-z0-9_-]+$")


class DatasetInstance(NamedTuple):
    """One person of a frame, as it goes into a dataset; a tuple is made in a fifth of a dataclass's time."""

    id: int
    """1 to 2**53 - 1, unique in the dataset (0 would count as unmatched in COCOeval)."""
    mask: Mask
    area_px: int
    """Pixels of the mask; 0: it is empty, and goes into no dataset."""
    tight_xywh: BoxXywh
    """Tight box of the mask, whole pixels."""
    score: float
    """Confidence in [0, 1]; 1 for a mask drawn by a person."""
    box_xywh: BoxXywh
    """The detector's box in pixels."""
    keypoints: Keypoints | None
    model: str
    """Which model made the mask."""
    reviewer: str | None
    """Who corrected or confirmed it; None: nobody looked."""


class DatasetFrame(NamedTuple):
    """One kept image with all that a dataset says about it."""

    id: int
    """1 to 2**53 - 1, unique in the dataset."""
    image: Path
    """Where the image lies now: a file, or its name in `store`."""
    file_name: str
    """Its name in the dataset's folder of images: plain, unique."""
    size_hw: tuple[int, int]
    video_id: str
    t_ms: int | None
    """Presentation time; None for an image that came from no video."""
    source_url: str | None
    title: str | None
    uploader: str | None
    license: str | None
    """Name of the license; None: unknown."""
    license_url: str | None
    upload_date: str | None
    """ISO 8601 (2024-05-31)."""
    decision: str
    instances: tuple[DatasetInstance, ...]
    split: str | None = None
    """`train`, `val`, `test`; None: the dataset is not divided."""
    store: ObjectStore | None = None
    """Where the image is kept; None: on this machine's disks."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written."""

    frames: int
    instances: int
    files: int
    """Files of the dataset, images included."""
    notes: tuple[str, ...] = ()
    """What the format could not keep and what was decided instead, for the user to read."""


def check_frame(frame: DatasetFrame) -> None:
    """Refuse what would make a dataset wrong without a sign of it.

    Raises:
        ExportError: a file name with folders in it, an id out of range, a mask of another size
            than its image, a score or a box that is no number, other than 17 keypoints.
    """
    here = f"frame {frame.id} ({frame.file_name!r})"
    if not _PLAIN_NAME.match(frame.file_name) or frame.file_name in (".", ".."):
        raise ExportError(f"{here}: the file name must be one plain name, without folders")
    if frame.split is not None and not _PLAIN_SPLIT.match(frame.split):
        raise ExportError(f"{here}: split {frame.split!r} must be letters, digits, - and _")
    if not 1 <= frame.id <= BIGGEST_ID:
        raise ExportError(f"{here}: the id must lie in 1 to {BIGGEST_ID}")
    for instance in frame.instances:
        fault = _find_fault(instance, frame.size_hw)
        if fault:
            raise ExportError(f"{here}, instance {instance.id}: {fault}")


def _find_fault(instance: DatasetInstance, size_hw: tuple[int, int]) -> str | None:
    if not 1 <= instance.id <= BIGGEST_ID:
        return f"the id must lie in 1 to {BIGGEST_ID}"
    if instance.mask.size_hw != size_hw:
        return (
            f"the mask has {instance.mask.size_hw} (height, width), the image {size_hw}; "
            "label this frame again"
        )
    x, y, w, h = instance.box_xywh
    if not math.isfinite(instance.score + x + y + w + h):
        return f"the score is {instance.score}, the box {instance.box_xywh}; label this frame again"
    if instance.keypoints is not None and len(instance.keypoints) != len(COCO_KEYPOINTS):
        return f"{len(instance.keypoints)} keypoints, COCO has {len(COCO_KEYPOINTS)}"
    return None


@dataclass(slots=True)
class ExportCheck:
    """Checks and counts frames on their way out; remembers 8 bytes an id to refuse a second use."""

    empty_masks: int = 0
    _frame_ids: "array[int]" = field(default_factory=lambda: array("q"))
    _instance_ids: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def frames(self) -> int:
        return len(self._frame_ids)

    def admit(self, frame: DatasetFrame) -> list[DatasetInstance]:
        """Give the instances to write: those with a mask, in their order.

        Raises:
            ExportError: the frame is unsound (`check_frame`).
        """
        check_frame(frame)
        kept = [one for one in frame.instances if one.area_px]
        self.empty_masks += len(frame.instances) - len(kept)
        self._frame_ids.append(frame.id)
        self._instance_ids.extend([one.id for one in kept])
        return kept

    def close(self, *, files: int, notes: Iterable[str] = ()) -> ExportSummary:
        """Raises ExportError if an id was used twice."""
        _check_unique("frame", self._frame_ids)
        _check_unique("instance", self._instance_ids)
        own = [f"{self.empty_masks} instances with an empty mask were left out"] if self.empty_masks else []
        return ExportSummary(self.frames, len(self._instance_ids), files, (*own, *notes))


def _check_unique(what: str, ids: "array[int]") -> None:
    ordered = np.sort(np.frombuffer(ids, dtype=np.int64)) if ids else np.zeros(0, dtype=np.int64)
    doubled = ordered[1:][ordered[1:] == ordered[:-1]]
    if doubled.size:
        raise ExportError(f"{what} id {doubled[0]} occurs twice; select each {what} once")
