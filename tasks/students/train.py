"""Training of a student: a dataset version to frames on disk, training, export, scores, registry."""

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.orm import Session

from configs.errors import ConfigError, ExtraMissing
from configs.ground_truth import LabeledSet
from configs.training import StudentTraining
from db.datasets.queries import VersionFrame, find_version
from db.datasets.strata import frozen_videos
from db.models.datasets import DatasetRow, DatasetVersionRow
from db.students.registry import find_student
from labeling.evaluation.ground_truth import read_labeled
from labeling.structures.frames import RgbImage
from labeling.structures.masks import union_masks
from labeling.students.files import WEIGHTS
from labeling.students.frame_store import FrameStore, Labels, TrainingFrames, labels_of, write_frames
from labeling.students.scores import PersonMask, ScoreTable
from labeling.training.folder import TrainingFolder
from labeling.video.images import read_image
from tasks.execution.context import Context
from tasks.students.frames import VersionImage, read_frames, rows_of_splits
from tasks.students.registry import TrainedStudent, register_student, student_file
from tasks.training_records import FailedInput, TrainingData, recorded

if TYPE_CHECKING:
    from labeling.students.export import ExportedStudent

Metrics = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BaseDataset:
    """The user's own dataset, which is mixed in."""

    coco: Path
    images: Path


@dataclass(frozen=True, slots=True)
class StudentOrder:
    """What to train on, and where to."""

    dataset: str
    """Version: NAME, NAME@2 or an id."""
    to: Path
    settings: StudentTraining
    start: str | None = None
    """File of weights, folder of a training, or a student of the registry; None: random weights."""
    base: BaseDataset | None = None
    show_progress: bool = False


@dataclass(frozen=True, slots=True)
class StudentSummary:
    """Result of one training."""

    folder: str
    dataset: str
    network: str
    sha256: str
    """Of network.onnx: the student's id in the registry."""
    int8: str
    int8_sha256: str
    train_frames: int
    val_frames: int
    base_frames: int
    left_out: int
    """Frames of `train` whose video is in a frozen evaluation set."""
    metrics: Metrics
    """Scores on `val` by group of frames and file; see labeling.students.scores."""
    largest_difference: float
    """Of a logit of network.onnx from the trained network's."""
    mask_iou: float
    """Of the masks of both."""
    seconds: float
    failures: tuple[FailedInput, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """The frames that a training uses, by id and in order, with what identifies them."""

    made: DatasetVersionRow
    train: NDArray[np.int64]
    left_out: int

    @property
    def name(self) -> str:
        return f"{self.made.name}@{self.made.number}"

    def key(self, split: str) -> str:
        """Return what the frames of a split on disk depend on."""
        digest = sha256(self.train.tobytes()).hexdigest() if split == "train" else ""
        return f"{self.made.snapshot_id} {split} {digest}"


@task(name="train-student", task_run_name="{order.to.name}", cache_policy=NO_CACHE, persist_result=False)
def train_student_task(context: Context, order: StudentOrder) -> StudentSummary:
    """Train; see `train_student`."""
    return train_student(context, order)


def train_student(context: Context, order: StudentOrder) -> StudentSummary:
    """Write the folder of one training, and register the student; an interrupted one continues.

    Frames of `train` are learned from and frames of `val` choose the checkpoint. Frames of `test`, and those of
    videos in a frozen evaluation set, are not read.

    Raises:
        ConfigError: no such version, no frame to train on, or the folder holds another training.
        ExtraMissing: torch, Lightning or the quantizing tools are not installed.
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    train, write, mask_of_network = _load_libraries()
    started, data, folder = time.monotonic(), TrainingData(), TrainingFolder(order.to)
    with folder.lock(), context.database.session() as session:
        chosen = _choose(session, order)
        start = _find_start(context, session, order.start)
        identity = _identity(order, chosen, start)
        folder.claim(identity)
        frames = _write_frames(context, session, order, chosen, data)
        network = train(order.settings, frames, order.to, start=start, show_progress=order.show_progress)
        exported = write(network, order.settings, frames, order.to)
        own = mask_of_network(network, exported.block)
        val = read_frames(
            session, chosen.made, rows_of_splits(session, chosen.made, ("val",)), context.home, []
        )  # what cannot be read was recorded when the frames were written
        metrics = _score(val, own, exported)
        summary = StudentSummary(
            folder=str(order.to),
            dataset=chosen.name,
            network=str(exported.block.path),
            sha256=exported.block.sha256,
            int8=str(exported.int8_block.path),
            int8_sha256=exported.int8_block.sha256,
            train_frames=frames.train.count,
            val_frames=frames.val.count,
            base_frames=frames.base.count if frames.base else 0,
            left_out=chosen.left_out,
            metrics=metrics,
            largest_difference=exported.check.largest_difference,
            mask_iou=exported.check.mask_iou,
            seconds=round(time.monotonic() - started, 1),
            failures=tuple(data.failures),
            warnings=tuple(data.warnings),
        )
        folder.finish(asdict(summary))
    register_student(context, _to_register(order, chosen, exported, identity, metrics))
    return summary


def _load_libraries() -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., PersonMask]]:
    try:
        from labeling.students.export import write_student
        from labeling.students.predict import mask_of_network
        from labeling.students.train import train_student_network
    except ImportError as exc:
        raise ExtraMissing(
            f"training requires {exc.name}, which is not installed: pip install 'maskmill[student]'"
        ) from exc
    return train_student_network, write_student, mask_of_network


def _choose(session: Session, order: StudentOrder) -> _Chosen:
    """Choose the frames of `train`; ConfigError if there are none."""
    made = find_version(session, order.dataset)
    if session.get_one(DatasetRow, made.name).is_frozen:
        raise ConfigError(
            f"{made.name} is a frozen evaluation set: students are compared on it, and never trained on it"
        )
    frozen, found, left_out = frozen_videos(session), array("q"), 0
    for row in rows_of_splits(session, made, ("train",)):
        if row.video_id in frozen:
            left_out += 1
        else:
            found.append(row.frame_id)
    if not found:
        raise ConfigError(f"{made.name}@{made.number} has no frame in train that may be learned from")
    ids, limit = np.array(found, dtype=np.int64), order.settings.max_frames
    if limit is not None and limit < len(ids):
        rng = np.random.default_rng(order.settings.seed)
        ids = ids[np.sort(rng.choice(len(ids), limit, replace=False))]
    return _Chosen(made, ids, left_out)


def _find_start(context: Context, session: Session, start: str | None) -> Path | None:
    if start is None:
        return None
    path = Path(start).expanduser()
    if path.is_dir():
        path = path / WEIGHTS
    if path.is_file():
        return path
    if path.suffix or path.parent != Path():
        raise ConfigError(f"--from {start}: no such file of weights, nor a folder with {WEIGHTS}")
    return student_file(context.home, find_student(session, start), WEIGHTS)


def _identity(order: StudentOrder, chosen: _Chosen, start: Path | None) -> dict[str, Any]:
    """Return what determines the result."""
    return {
        "settings": order.settings.identity(),
        "dataset": chosen.name,
        "data": {split: chosen.key(split) for split in ("train", "val")},
        "start": None if start is None else _digest(start),
        "base": None if order.base is None else _digest(order.base.coco),
    }


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}; check the path") from exc


def _write_frames(
    context: Context, session: Session, order: StudentOrder, chosen: _Chosen, data: TrainingData
) -> TrainingFrames:
    """Write the frames of train, val and base to the folder of the training, unless they are there already."""
    size_hw, root = order.settings.input_hw, order.to / "frames"

    def write(split: Literal["train", "val"], rows: Iterable[VersionFrame]) -> FrameStore:
        images = read_frames(session, chosen.made, rows, context.home, data.failures)
        frames = ((one.rgb, labels_of(one.person.to_array() > 0)) for one in images)
        return write_frames(root / split, f"{chosen.key(split)} {size_hw}", frames, size_hw)

    wanted = set(chosen.train.tolist())
    train = write(
        "train",
        (row for row in rows_of_splits(session, chosen.made, ("train",)) if row.frame_id in wanted),
    )
    val = write("val", rows_of_splits(session, chosen.made, ("val",)))
    if not val.count:
        data.warnings.append(
            f"{chosen.name} has no frame in val: the last checkpoint is used, and no score is known"
        )
    base = None
    if order.base is not None:
        key = f"{_digest(order.base.coco)} {order.base.images.resolve()} {size_hw}"
        base = write_frames(root / "base", key, read_base(order.base, data), size_hw)
    return TrainingFrames(train, val, base)


def read_base(base: BaseDataset, data: TrainingData) -> Iterator[tuple[RgbImage, Labels]]:
    """Yield the images of a COCO file with their labels; one that cannot be read is recorded."""
    for image in read_labeled(LabeledSet(images=base.images, coco=base.coco)):
        if image.boxes is not None:
            continue  # people without masks
        with recorded(str(image.path), data):
            people = union_masks(image.people, image.size_hw).to_array() > 0
            yield read_image(image.path), labels_of(people, image.ignored.to_array() > 0)


def _score(frames: Iterable[VersionImage], own: PersonMask, exported: "ExportedStudent") -> Metrics:
    """Return the scores of the trained network and of both files on `val`, by group of frames."""
    from labeling.segmenters.custom_network import CustomNetworkSegmenter
    from labeling.students.predict import mask_of_segmenter

    files = {"onnx": exported.block, "int8": exported.int8_block}
    students = {"fp32": own} | {
        name: mask_of_segmenter(CustomNetworkSegmenter(block)) for name, block in files.items()
    }
    table = ScoreTable(tuple(students))
    for frame in frames:
        found = [find(frame.rgb) for find in students.values()]
        table.add(frame.video_id, frame.groups, frame.person, found)
    return {"split": "val", "frames": len(table), "groups": table.means() if len(table) else {}}


def _to_register(
    order: StudentOrder,
    chosen: _Chosen,
    exported: "ExportedStudent",
    identity: Mapping[str, Any],
    metrics: Metrics,
) -> TrainedStudent:
    block = exported.block.model_dump(mode="json", exclude={"path", "sha256", "refine"})
    return TrainedStudent(
        folder=order.to,
        sha256=exported.block.sha256 or "",
        int8_sha256=exported.int8_block.sha256 or "",
        block=block,
        dataset=chosen.name,
        snapshot_id=chosen.made.snapshot_id,
        training=dict(identity),
        metrics=metrics,
    )
