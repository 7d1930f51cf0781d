"""The flows that train the networks of the package."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from configs.errors import ConfigError
from configs.training import (
    MattingTraining,
    OsvosParentTraining,
    PoseMaskTraining,
    StudentTraining,
    TemporalTraining,
)
from flows.home import existing_context, whole_path
from tasks.students.data import BaseDataset
from tasks.students.train import StudentOrder, StudentSummary, train_student_task
from tasks.train import TrainingOrder, TrainingSummary, train_matting_task
from tasks.train_osvos_parent import OsvosParentOrder, OsvosParentSummary, train_osvos_parent_task
from tasks.train_pose_masks import PoseMaskOrder, PoseMaskSummary, train_pose_mask_task
from tasks.train_temporal import TemporalOrder, TemporalSummary, train_temporal_task
from tasks.training_records import FailedInput


@flow(name="train-matting", flow_run_name="train {to}", persist_result=False)
def train_matting(
    datasets: list[str],
    to: Path,
    settings: MattingTraining | None = None,
    backgrounds: list[Path] | None = None,
    videos: list[Path] | None = None,
    *,
    show_progress: bool = False,
) -> TrainingSummary:
    """Train the network on composites, then on unlabeled videos; an interrupted training continues.

    Args:
        datasets: `synthetic`, YAML files of labeled sets, folders exported by maskmill, folders of cut-outs.
        to: folder of the checkpoints and the network.
        settings: None: the defaults.
        backgrounds: folders of images for the composites; None: the labeled images and rendered rooms.
        videos: videos of static cameras for the adversarial stage; None: no such stage.
        show_progress: show Lightning's progress bar.
    """
    order = TrainingOrder(
        _named(datasets),
        whole_path(to, "to"),
        settings or MattingTraining(),
        tuple(backgrounds or ()),
        tuple(videos or ()),
        show_progress,
    )
    summary = train_matting_task(order)
    _log_failures(summary.failures)
    return summary


@flow(name="train-pose-mask", flow_run_name="train {to}", persist_result=False)
def train_pose_mask(
    datasets: list[str],
    to: Path,
    settings: PoseMaskTraining | None = None,
    backgrounds: list[Path] | None = None,
    *,
    show_progress: bool = False,
) -> PoseMaskSummary:
    """Train the network of `kind: pose_guided`; an interrupted training continues.

    Args:
        datasets: `synthetic`, YAML files of labeled sets, folders exported by maskmill.
        to: folder of the checkpoints and the network.
        settings: None: the defaults.
        backgrounds: folders of images; None: the labeled images without their people, and rendered rooms.
        show_progress: show Lightning's progress bar.
    """
    order = PoseMaskOrder(
        _named(datasets),
        whole_path(to, "to"),
        settings or PoseMaskTraining(),
        tuple(backgrounds or ()),
        show_progress,
    )
    summary = train_pose_mask_task(order)
    _log_failures(summary.failures)
    return summary


@flow(name="train-osvos-parent", flow_run_name="train {to}", persist_result=False)
def train_osvos_parent(
    datasets: list[str],
    to: Path,
    settings: OsvosParentTraining | None = None,
    *,
    show_progress: bool = False,
) -> OsvosParentSummary:
    """Train the parent network of `kind: osvos`; an interrupted training continues.

    Args:
        datasets: YAML files of labeled sets, folders exported by maskmill.
        to: folder of the checkpoints and the network.
        settings: None: the defaults.
        show_progress: show Lightning's progress bar.
    """
    order = OsvosParentOrder(
        _named(datasets), whole_path(to, "to"), settings or OsvosParentTraining(), show_progress
    )
    summary = train_osvos_parent_task(order)
    _log_failures(summary.failures)
    return summary


@flow(name="train-temporal", flow_run_name="train {to}", persist_result=False)
def train_temporal(
    datasets: list[str],
    to: Path,
    settings: TemporalTraining | None = None,
    backgrounds: list[Path] | None = None,
    *,
    show_progress: bool = False,
) -> TemporalSummary:
    """Train the network of `maskmill matte --config moving`; an interrupted training continues.

    Args:
        datasets: `synthetic`, COCO files, YAML files of labeled sets, exported folders, folders of PNG cut-outs.
        to: folder of the clips, the checkpoints and the network.
        settings: None: the defaults.
        backgrounds: videos, images and folders of them; None: the labeled images without their people.
        show_progress: show Lightning's progress bar.
    """
    order = TemporalOrder(
        _named(datasets),
        whole_path(to, "to"),
        settings or TemporalTraining(),
        tuple(backgrounds or ()),
        show_progress,
    )
    summary = train_temporal_task(order)
    _log_failures(summary.failures)
    return summary


@flow(name="train-student", flow_run_name="train {to}", persist_result=False)
def train_student(
    dataset: str,
    to: Path,
    settings: StudentTraining | None = None,
    start: str | None = None,
    base: Path | None = None,
    base_images: Path | None = None,
    home: Path = Path(".maskmill"),
    *,
    show_progress: bool = False,
) -> StudentSummary:
    """Train a student on a dataset version, export and register it; an interrupted training continues.

    Args:
        dataset: version, NAME (the latest), NAME@2 or the first digits of an id.
        to: folder of the checkpoints and the networks.
        settings: None: the defaults.
        start: file of weights, folder of a training, or a student of the registry; None: random weights.
        base: COCO file of the user's own dataset, which is mixed in.
        base_images: folder of its images.
        home: folder with the images, and the database unless MASKMILL_DATABASE_URL names another.
        show_progress: show Lightning's progress bar.
    """
    if (base is None) != (base_images is None):
        raise ConfigError("a base dataset requires both --base COCO.json and --base-images DIR")
    mixed = None if base is None or base_images is None else BaseDataset(base, base_images)
    order = StudentOrder(
        dataset, whole_path(to, "to"), settings or StudentTraining(), start, mixed, show_progress
    )
    summary = train_student_task(existing_context(whole_path(home, "home")), order)
    _log_failures(summary.failures)
    return summary


def _named(datasets: Sequence[str]) -> tuple[str, ...]:
    if not datasets:
        raise ConfigError("no data set: name at least one; some trainings also take `synthetic`")
    return tuple(datasets)


def _log_failures(failures: Iterable[FailedInput]) -> None:
    for failure in failures:
        get_run_logger().warning("%s: %s: %s", failure.name, failure.code, failure.message)


if __name__ == "__main__":
    train_matting.serve("train-matting")
