"""Reads what each promoted student cost and gained."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models.core import ShardRow
from db.models.datasets import DatasetVersionRow, FrameLabelsRow, SnapshotFrameRow, SnapshotRow
from db.models.review import AnnotationRow
from db.models.students import StudentPromotionRow, StudentRow
from db.students.registry import list_promotions
from labeling.students.groups import ALL

RANDOM = "random"
"""Key, in a promotion's comparison, of that of a student which learned from random frames."""


@dataclass(frozen=True, slots=True)
class CircleRound:
    """A promotion: the dataset behind it, what it cost, and what it gained."""

    student_id: str
    dataset: str
    made_at: datetime
    """UTC."""
    frames: int | None
    """Of the dataset version; None: it was deleted, and so for the costs."""
    machine_s: float | None
    """Wall seconds of all stages of the runs behind the version, as far as the runs are there."""
    human_s: float | None
    """Seconds that reviewers worked on its frames, as far as Label Studio measured them."""
    on: str
    """Version and splits on which the gains were measured."""
    iou_gain: dict[str, float | None]
    """Difference from the student before: mean, low, high."""
    random_iou_gain: dict[str, float | None]
    """The same of a student that learned from as many random frames; empty: not measured."""
    boundary_gain: dict[str, float | None]
    is_taken_back: bool


def list_rounds(session: Session) -> list[CircleRound]:
    """Return all promotions, oldest first."""
    promotions = list_promotions(session)
    taken_back = _taken_back(promotions)
    return [_round(session, row, row.number in taken_back) for row in promotions if row.action == "promote"]


def _taken_back(promotions: list[StudentPromotionRow]) -> set[int]:
    """Return the numbers of promotions that a rollback ended."""
    in_use: list[int] = []
    ended = set()
    for row in promotions:
        if row.action == "promote":
            in_use.append(row.number)
        else:
            ended.add(in_use.pop())
    return ended


def _round(session: Session, row: StudentPromotionRow, is_taken_back: bool) -> CircleRound:
    student = session.get_one(StudentRow, row.student_id)
    comparison: dict[str, Any] = row.comparison or {}
    total = _total(comparison)
    frames, machine_s, human_s = _costs(session, student.dataset)
    return CircleRound(
        student_id=row.student_id,
        dataset=student.dataset,
        made_at=row.made_at.replace(tzinfo=UTC),
        frames=frames,
        machine_s=machine_s,
        human_s=human_s,
        on=comparison.get("on", ""),
        iou_gain=total.get("iou_difference", {}),
        random_iou_gain=_total(comparison.get(RANDOM, {})).get("iou_difference", {}),
        boundary_gain=total.get("boundary_difference", {}),
        is_taken_back=is_taken_back,
    )


def _total(comparison: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = comparison.get("groups", {}).get(ALL, {})
    return found


def _costs(session: Session, dataset: str) -> tuple[int | None, float | None, float | None]:
    name, _, number = dataset.rpartition("@")
    made = session.get(DatasetVersionRow, (name, int(number)))
    if made is None:
        return None, None, None
    snapshot = session.get_one(SnapshotRow, made.snapshot_id)
    return snapshot.frames, sum(_stage_seconds(session, made)), _human_seconds(session, made)


def _stage_seconds(session: Session, made: DatasetVersionRow) -> Iterator[float]:
    runs = [str(run["id"]) for run in made.runs]
    query = select(ShardRow.seconds).where(ShardRow.run_id.in_(runs)).execution_options(yield_per=500)
    with session.execute(query) as rows:  # closes PostgreSQL's cursor
        for seconds in rows.scalars():
            yield sum(seconds.values())


def _human_seconds(session: Session, made: DatasetVersionRow) -> float | None:
    query = (
        select(func.sum(AnnotationRow.seconds))
        .join(FrameLabelsRow, FrameLabelsRow.frame_id == AnnotationRow.frame_id)
        .join(SnapshotFrameRow, SnapshotFrameRow.labels_id == FrameLabelsRow.id)
        .where(SnapshotFrameRow.snapshot_id == made.snapshot_id, AnnotationRow.state == "current")
    )
    return session.scalar(query)
