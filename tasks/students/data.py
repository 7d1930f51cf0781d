"""The data of a student's training: which frames it may see, and these on disk in the network's size."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from configs.errors import ConfigError
from configs.ground_truth import LabeledSet
from configs.student_training import StudentTraining
from db.datasets.queries import find_version
from db.datasets.strata import frozen_videos
from db.models.datasets import DatasetRow, DatasetVersionRow
from labeling.evaluation.ground_truth import read_labeled
from labeling.structures.frames import RgbImage
from labeling.structures.masks import union_masks
from labeling.students.frame_store import FrameStore, Labels, TrainingFrames, labels_of, write_frames
from labeling.video.images import read_image
from tasks.execution.context import Context
from tasks.students.frames import VersionImage, read_frames, rows_of_splits
from tasks.training_records import FailedInput, TrainingData, recorded

LearnedSplit = Literal["train", "val"]


@dataclass(frozen=True, slots=True)
class BaseDataset:
    """The user's own dataset, which is mixed in."""

    coco: Path
    images: Path


@dataclass(frozen=True, slots=True, eq=False)
class ChosenFrames:
    """The frames that a training may see, by id and in order."""

    made: DatasetVersionRow
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    left_out: int
    """Frames whose video is in a frozen evaluation set."""

    @property
    def name(self) -> str:
        return f"{self.made.name}@{self.made.number}"

    def ids(self, split: LearnedSplit) -> NDArray[np.int64]:
        return self.train if split == "train" else self.val

    def key(self, split: LearnedSplit) -> str:
        """Return what the content of these frames depends on."""
        return f"{self.made.snapshot_id} {sha256(self.ids(split).tobytes()).hexdigest()}"

    def images(
        self, context: Context, session: Session, split: LearnedSplit, failures: list[FailedInput]
    ) -> Iterator[VersionImage]:
        """Read the frames of a split; one that cannot be read is recorded in `failures`."""
        wanted = set(self.ids(split).tolist())
        rows = (row for row in rows_of_splits(session, self.made, (split,)) if row.frame_id in wanted)
        return read_frames(session, self.made, rows, context.home, failures)


def choose_frames(session: Session, dataset: str, settings: StudentTraining) -> ChosenFrames:
    """Choose the frames of `train` and `val` whose videos are in no frozen set.

    Raises:
        ConfigError: there is no such version, it is a frozen set, or no frame is left in `train`.
    """
    made = find_version(session, dataset)
    if session.get_one(DatasetRow, made.name).is_frozen:
        raise ConfigError(
            f"{made.name} is a frozen evaluation set: students are compared on it, and never trained on it"
        )
    frozen, found, left_out = frozen_videos(session), {"train": array("q"), "val": array("q")}, 0
    for row in rows_of_splits(session, made, found):
        if row.video_id in frozen:
            left_out += 1
        elif row.split:
            found[row.split].append(row.frame_id)
    if not found["train"]:
        raise ConfigError(f"{made.name}@{made.number} has no frame in train that may be learned from")
    train, val = (np.array(ids, dtype=np.int64) for ids in found.values())
    return ChosenFrames(made, _draw(train, settings), val, left_out)


def _draw(ids: NDArray[np.int64], settings: StudentTraining) -> NDArray[np.int64]:
    """Return `max_frames` of the frames, in their order."""
    limit = settings.max_frames
    if limit is None or limit >= len(ids):
        return ids
    rng = np.random.default_rng(settings.seed)
    return ids[np.sort(rng.choice(len(ids), limit, replace=False))]


@dataclass(frozen=True, slots=True)
class FrameTarget:
    """Where frames are written, in which size, and what is mixed in."""

    folder: Path
    size_hw: tuple[int, int]
    base: BaseDataset | None

    def write(self, name: str, key: str, frames: Iterator[tuple[RgbImage, Labels]]) -> FrameStore:
        return write_frames(self.folder / name, f"{key} {self.size_hw}", frames, self.size_hw)


def write_training_frames(
    context: Context,
    session: Session,
    chosen: ChosenFrames,
    target: FrameTarget,
    data: TrainingData,
) -> TrainingFrames:
    """Write the frames of train, val and base, unless they are there already; what cannot be read is recorded."""

    def write(split: LearnedSplit) -> FrameStore:
        images = chosen.images(context, session, split, data.failures)
        frames = ((one.rgb, labels_of(one.person.to_array() > 0)) for one in images)
        return target.write(split, chosen.key(split), frames)

    train, val = write("train"), write("val")
    if not val.count:
        data.warnings.append(
            f"{chosen.name} has no frame in val: the last checkpoint is used, and no score is known"
        )
    base = None
    if target.base is not None:
        key = f"{digest_file(target.base.coco)} {target.base.images.resolve()}"
        base = target.write("base", key, read_base(target.base, data))
    return TrainingFrames(train, val, base)


def read_base(base: BaseDataset, data: TrainingData) -> Iterator[tuple[RgbImage, Labels]]:
    """Yield the images of a COCO file with their labels; one that cannot be read is recorded."""
    for image in read_labeled(LabeledSet(images=base.images, coco=base.coco)):
        if image.boxes is not None:
            continue  # people without masks
        with recorded(str(image.path), data):
            people = union_masks(image.people, image.size_hw).to_array() > 0
            yield read_image(image.path), labels_of(people, image.ignored.to_array() > 0)


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file that the user named."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}; check the path") from exc
