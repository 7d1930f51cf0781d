"""Training of a student: a dataset version to frames on disk, training, export, scores, registry."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.orm import Session

from configs.errors import ConfigError, ExtraMissing
from configs.student_training import StudentTraining
from db.students.registry import find_student
from labeling.students.files import WEIGHTS
from labeling.students.frame_store import TrainingFrames
from labeling.students.scores import PersonMask, ScoreTable
from labeling.training.folder import TrainingFolder
from tasks.execution.context import Context
from tasks.students.data import (
    BaseDataset,
    ChosenFrames,
    FrameTarget,
    LearnedSplit,
    choose_frames,
    digest_file,
    write_training_frames,
)
from tasks.students.frames import VersionImage
from tasks.students.registry import TrainedStudent, register_student, student_file
from tasks.training_records import FailedInput, TrainingData

if TYPE_CHECKING:
    from labeling.students.export import ExportedStudent

Metrics = dict[str, Any]


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
    """Frames of `train` and `val` whose video is in a frozen evaluation set."""
    metrics: Metrics
    """Scores on `val` by group of frames and file; see labeling.students.scores."""
    largest_difference: float
    """Of a logit of network.onnx from the trained network's."""
    mask_iou: float
    """Of the masks of both."""
    seconds: float
    failures: tuple[FailedInput, ...] = ()
    warnings: tuple[str, ...] = ()


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
    with folder.lock():
        with context.database.session() as session:
            chosen = choose_frames(session, order.dataset, order.settings)
            start = _find_start(context, session, order.start)
            identity = _identity(order, chosen, start)
            folder.claim(identity)
            target = FrameTarget(order.to / "frames", order.settings.input_hw, order.base)
            frames = write_training_frames(context, session, chosen, target, data)
        # no session is open during the hours of the training
        network = train(order.settings, frames, order.to, start=start, show_progress=order.show_progress)
        exported = write(network, order.settings, frames, order.to)
        with context.database.session() as session:
            val = chosen.images(context, session, "val", [])  # what cannot be read was recorded above
            metrics = _score(val, mask_of_network(network, exported.block), exported)
        summary = _summarize(order, chosen, frames, exported, metrics)
        summary = replace(
            summary,
            seconds=round(time.monotonic() - started, 1),
            failures=tuple(data.failures),
            warnings=tuple(data.warnings),
        )
        folder.finish(asdict(summary))
    register_student(context, _to_register(order, chosen, exported, identity, metrics))
    return summary


def _summarize(
    order: StudentOrder,
    chosen: ChosenFrames,
    frames: TrainingFrames,
    exported: "ExportedStudent",
    metrics: Metrics,
) -> StudentSummary:
    return StudentSummary(
        folder=str(order.to),
        dataset=chosen.name,
        network=str(exported.block.path),
        sha256=exported.block.sha256 or "",
        int8=str(exported.int8_block.path),
        int8_sha256=exported.int8_block.sha256 or "",
        train_frames=frames.train.count,
        val_frames=frames.val.count,
        base_frames=frames.base.count if frames.base else 0,
        left_out=chosen.left_out,
        metrics=metrics,
        largest_difference=exported.check.largest_difference,
        mask_iou=exported.check.mask_iou,
        seconds=0.0,
    )


def _load_libraries() -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., PersonMask]]:
    try:
        import tensorboardX  # noqa: F401 - of the trainer's log

        from labeling.students.export import write_student
        from labeling.students.predict import mask_of_network
        from labeling.students.train import train_student_network
    except ImportError as exc:
        raise ExtraMissing(
            f"training requires {exc.name}, which is not installed: pip install 'maskmill[student]'"
        ) from exc
    return train_student_network, write_student, mask_of_network


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


def _identity(order: StudentOrder, chosen: ChosenFrames, start: Path | None) -> dict[str, Any]:
    """Return what determines the result."""
    return {
        "settings": order.settings.identity(),
        "dataset": chosen.name,
        "data": {split: chosen.key(split) for split in get_args(LearnedSplit)},
        "start": None if start is None else digest_file(start),
        "base": None if order.base is None else digest_file(order.base.coco),
    }


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
    chosen: ChosenFrames,
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
