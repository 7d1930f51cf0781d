"""Frames and instances of a dataset, independent of any format, and the checks before they are written."""

import math
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from configs.categories import PERSON
from configs.errors import ExportError
from labeling.storage.object_store import ObjectStore
from labeling.structures.instances import COCO_KEYPOINTS, Keypoints
from labeling.structures.masks import BoxXywh, Mask
from labeling.text.figures import count_of

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

BIGGEST_ID = 2**53 - 1
"""JSON readers keep numbers as doubles, which would change a bigger id."""

_PLAIN_NAME = re.compile(r"^[^/\\\x00-\x1f]+$")
_PLAIN_SPLIT = re.compile(r"^[A-Za-z0-9_-]+$")


class DatasetInstance(NamedTuple):
    """One person of a frame in a dataset. A tuple, because it is created five times as fast as a dataclass."""

    id: int
    """1 to 2**53 - 1, unique in the dataset (0 would count as unmatched in COCOeval)."""
    mask: Mask
    area_px: int
    """Pixels of the mask; 0: the mask is empty and is not written."""
    tight_xywh: BoxXywh
    """Tight box of the mask, whole pixels."""
    score: float
    """Confidence in [0, 1]; 1 for a mask drawn by a person."""
    box_xywh: BoxXywh
    """The detector's box in pixels."""
    keypoints: Keypoints | None
    model: str
    """The model that made the mask."""
    reviewer: str | None
    """The person who corrected or confirmed it; None: not reviewed."""
    refined_by: str | None = None
    """The refiners that replaced the model's mask; None: not refined."""
    iou_before: float | None = None
    """IoU of the refined mask with the model's own, in [0, 1]; None: not refined."""
    track_id: int | None = None
    """Number of the person in the video; None: not tracked."""
    category: str = PERSON
    origin: str | None = None
    """`prediction`, `prediction-changed` or `manual`: what the reviewer did with it; None: not reviewed."""
    is_doubtful: bool = False
    """Neither accepted nor reviewed: where it is, the dataset says nothing about people."""


class DatasetFrame(NamedTuple):
    """One frame of a dataset."""

    id: int
    """1 to 2**53 - 1, unique in the dataset."""
    image: Path
    """Current location of the image: a file, or its name in `store`."""
    file_name: str
    """Its name in the dataset's folder of images: plain, unique."""
    size_hw: tuple[int, int]
    video_id: str
    pts_ms: int | None
    """Presentation time in ms; None for an image without a time."""
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
    """Object store of the image; None: it is on a local disk."""
    propagated_from: tuple[int, ...] = ()
    """Ids of the reviewed frames whose masks, carried here, confirmed the teacher's; empty: not confirmed that way."""

    @property
    def is_complete(self) -> bool:
        """Return whether each person of the frame is accepted or reviewed."""
        return not any(instance.is_doubtful for instance in self.instances)


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Counts of a written dataset."""

    frames: int
    instances: int
    files: int
    """Files of the dataset, images included."""
    notes: tuple[str, ...] = ()
    """What the format could not represent, for the user to read."""


def check_frame(frame: DatasetFrame) -> None:
    """Raise `ExportError` for a frame that would make the dataset wrong.

    That is a file name with folders in it, an id out of range, a mask of another size than its image, a
    score or box that is not finite, or a number of keypoints other than 17.
    """
    if not _PLAIN_NAME.match(frame.file_name) or frame.file_name in (".", ".."):
        raise ExportError(f"{_where(frame)}: the file name must be one plain name, without folders")
    if frame.split is not None and not _PLAIN_SPLIT.match(frame.split):
        raise ExportError(f"{_where(frame)}: split {frame.split!r} may contain only letters, digits, - and _")
    if not 1 <= frame.id <= BIGGEST_ID:
        raise ExportError(f"{_where(frame)}: the id must lie in 1 to {BIGGEST_ID}")
    for instance in frame.instances:
        if not _is_sound(instance, frame.size_hw) and (fault := _find_fault(instance, frame.size_hw)):
            raise ExportError(f"{_where(frame)}, instance {instance.id}: {fault}")


def _where(frame: DatasetFrame) -> str:
    return f"frame {frame.id} ({frame.file_name!r})"


def _is_sound(instance: DatasetInstance, size_hw: tuple[int, int]) -> bool:
    """Return whether `_find_fault` has nothing to find, in one expression: this is asked for each of millions."""
    number, mask, _, _, score, (x, y, w, h), keypoints, *_ = instance
    return (
        1 <= number <= BIGGEST_ID
        and mask.size_hw == size_hw
        and math.isfinite(score + x + y + w + h)
        and (keypoints is None or len(keypoints) == len(COCO_KEYPOINTS))
    )


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
        return f"{count_of(len(instance.keypoints), 'keypoint')}, COCO has {len(COCO_KEYPOINTS)}"
    return None


@dataclass(slots=True)
class ExportCheck:
    """Checks and counts frames while they are written; keeps 8 bytes per id to detect duplicates."""

    empty_masks: int = 0
    ignored_regions: int = 0
    """Doubtful persons that were written as such."""
    _frame_ids: "array[int]" = field(default_factory=lambda: array("q"))
    _instance_ids: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def frames(self) -> int:
        return len(self._frame_ids)

    def admit(self, frame: DatasetFrame) -> list[DatasetInstance]:
        """Check a frame (`check_frame`), and return its instances with a mask, in their order."""
        check_frame(frame)
        kept = [instance for instance in frame.instances if instance.area_px]
        self.empty_masks += len(frame.instances) - len(kept)
        self._frame_ids.append(frame.id)
        self.admit_instances([instance.id for instance in kept])
        return kept

    def admit_instances(self, ids: Sequence[int]) -> None:
        """Count instances that have a mask and were checked."""
        self._instance_ids.extend(ids)

    def extend(self, later: "ExportCheck") -> None:
        """Add what another check counted."""
        self.empty_masks += later.empty_masks
        self.ignored_regions += later.ignored_regions
        self._frame_ids += later._frame_ids
        self._instance_ids += later._instance_ids

    def close(self, *, files: int, notes: Iterable[str] = ()) -> ExportSummary:
        """Return the summary, or raise `ExportError` if an id occurs twice."""
        _check_unique("frame", self._frame_ids)
        _check_unique("instance", self._instance_ids)
        own = [f"{self.empty_masks} instances with an empty mask were left out"] if self.empty_masks else []
        if self.ignored_regions:
            notes = (
                *notes,
                f"{self.ignored_regions} doubtful persons are ignored regions (iscrowd 1): --only-complete leaves their images out",
            )
        return ExportSummary(self.frames, len(self._instance_ids), files, (*own, *notes))


def _check_unique(what: str, ids: "array[int]") -> None:
    ordered = np.sort(np.frombuffer(ids, dtype=np.int64)) if ids else np.zeros(0, dtype=np.int64)
    doubled = ordered[1:][ordered[1:] == ordered[:-1]]
    if doubled.size:
        raise ExportError(f"{what} id {doubled[0]} occurs twice; select each {what} once")
