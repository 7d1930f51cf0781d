"""Counts of a dataset version, for its card."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from db.models.datasets import DatasetVersionRow, FrameLabelsRow, LabelRow, SnapshotFrameRow
from db.models.review import ModelScoreRow

SMALL_PX = 32 * 32
"""Area below which COCO calls an object small."""


@dataclass(frozen=True, slots=True)
class MaskGroup:
    """Masks that were made in the same way."""

    model: str
    origin: str | None
    """What the reviewer did, as in `label`; None: not reviewed."""
    refined_by: str | None
    masks: int


@dataclass(frozen=True, slots=True)
class TeacherScore:
    """How the teacher's masks agree with reviewers in the runs of a version, as known today."""

    frames: int
    iou: float
    """Mean over reviewed frames."""
    boundary_iou: float


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """What a version consists of."""

    decisions: dict[str, int]
    """Frames by decision."""
    masks: tuple[MaskGroup, ...]
    """Largest first."""
    frames_without_people: int
    small_masks: int
    reviewers: int
    """Different people."""
    teacher: TeacherScore | None
    """None: no frame of its runs was reviewed, or the runs were deleted."""


def version_figures(session: Session, made: DatasetVersionRow) -> VersionFigures:
    in_version = SnapshotFrameRow.snapshot_id == made.snapshot_id
    frames = select(FrameLabelsRow).join(SnapshotFrameRow, SnapshotFrameRow.labels_id == FrameLabelsRow.id)
    decisions = frames.where(in_version).group_by(FrameLabelsRow.decision).order_by(FrameLabelsRow.decision)
    by_decision = decisions.with_only_columns(FrameLabelsRow.decision, func.count())
    has_people = select(LabelRow.rank).where(LabelRow.labels_id == SnapshotFrameRow.labels_id).exists()
    empty = select(func.count()).select_from(SnapshotFrameRow).where(in_version, ~has_people)
    reviewers = frames.where(in_version).with_only_columns(
        func.count(FrameLabelsRow.reviewer.distinct()), maintain_column_froms=True
    )
    return VersionFigures(
        dict(session.execute(by_decision).tuples().all()),
        _mask_groups(session, in_version),
        session.scalar(empty) or 0,
        _count_small(session, in_version),
        session.scalar(reviewers) or 0,
        _teacher_score(session, [str(run["id"]) for run in made.runs]),
    )


def _mask_groups(session: Session, in_version: ColumnElement[bool]) -> tuple[MaskGroup, ...]:
    kinds = (LabelRow.model, LabelRow.origin, LabelRow.refined_by)
    query = (
        select(*kinds, func.count())
        .join(SnapshotFrameRow, SnapshotFrameRow.labels_id == LabelRow.labels_id)
        .where(in_version)
        .group_by(*kinds)
        .order_by(func.count().desc(), *kinds)
    )
    return tuple(MaskGroup(*row) for row in session.execute(query).tuples())


def _count_small(session: Session, in_version: ColumnElement[bool]) -> int:
    query = (
        select(func.count())
        .select_from(LabelRow)
        .join(SnapshotFrameRow, SnapshotFrameRow.labels_id == LabelRow.labels_id)
        .where(in_version, LabelRow.area_px < SMALL_PX)
    )
    return session.scalar(query) or 0


def _teacher_score(session: Session, run_ids: Sequence[str]) -> TeacherScore | None:
    query = select(func.count(), func.avg(ModelScoreRow.iou), func.avg(ModelScoreRow.boundary_iou)).where(
        ModelScoreRow.run_id.in_(run_ids), ModelScoreRow.role == "teacher"
    )
    frames, iou, boundary_iou = session.execute(query).one()
    return TeacherScore(frames, float(iou), float(boundary_iou)) if frames else None
