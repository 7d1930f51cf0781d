"""Stores annotations and the consensus about frames.

An annotation is never overwritten: a later version supersedes an earlier one, which is kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from more_itertools import batched, map_reduce
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from db.models.core import FrameRow, content_id
from db.models.review import (
    AnnotationRow,
    ConsensusRow,
    LabelStudioProjectRow,
    ReviewedInstanceRow,
    ReviewRow,
)
from db.sql.columns import keypoints_column, mask_columns
from db.sql.reading import PAGE, select_by_ids
from db.sql.upsert import upsert
from labeling.datasets.mask_rows import keypoints_of
from labeling.review.records import ProposedInstance, ReviewedFrame, ReviewedInstance
from labeling.structures.masks import Mask, iou_matrix


@dataclass(frozen=True, slots=True)
class SentFrame:
    """The project and task that a frame was sent to."""

    project_id: int
    task_id: int
    run_id: str
    """The run whose masks were shown."""
    propagation_id: int | None = None
    """The carried masks that were shown; None: the teacher's."""


def find_sent_frames(session: Session, project_id: int, frame_ids: Sequence[int]) -> dict[int, SentFrame]:
    """Return those of these frames that were sent to a project."""
    query = select(ReviewRow).where(ReviewRow.project_id == project_id)
    return {
        row.frame_id: SentFrame(project_id, row.task_id or 0, row.run_id, row.propagation_id)
        for (row,) in select_by_ids(session, query, ReviewRow.frame_id, frame_ids)
    }


@dataclass(frozen=True, slots=True)
class FrameAnnotations:
    """All current annotations of a frame."""

    sent: SentFrame
    annotations: Sequence[ReviewedFrame]
    shown: Sequence[ProposedInstance]
    """The masks that were shown to the annotators."""


def store_annotations(session: Session, frames: Mapping[int, FrameAnnotations]) -> list[int]:
    """Store annotations by frame id; returns the frames of which any annotation is new or has gone.

    A known version is not written again; one that no longer exists is marked, not deleted.
    """
    stored = select_by_ids(session, select(AnnotationRow), AnnotationRow.frame_id, list(frames))
    known = map_reduce((row for (row,) in stored), lambda row: row.frame_id)
    annotations, instances, changed = [], [], []
    for frame_id, frame in frames.items():
        versions = {_version_id(frame.sent.project_id, one): one for one in frame.annotations}
        rows = [row for row in known.get(frame_id, ()) if row.project_id == frame.sent.project_id]
        is_outdated = _mark_versions(rows, versions)
        new = {key: one for key, one in versions.items() if key not in {row.id for row in rows}}
        if is_outdated or new:
            changed.append(frame_id)
        shown = {one.id: one for one in frame.shown}
        annotations += [_annotation_row(key, one, frame.sent) for key, one in new.items()]
        instances += [row for key, one in new.items() for row in _instance_rows(key, one, shown)]
    upsert(session, AnnotationRow, annotations)
    upsert(session, ReviewedInstanceRow, instances)
    return changed


def _mark_versions(known: Iterable[AnnotationRow], current: Mapping[int, ReviewedFrame]) -> bool:
    """Update the states and stars of known versions; returns whether any has changed."""
    external_ids = {one.number for one in current.values()}
    has_changed = False
    for row in known:
        state = (
            "current" if row.id in current else "replaced" if row.external_id in external_ids else "deleted"
        )
        # Label Studio removes the stars of other annotations without changing their time
        is_starred = row.id in current and current[row.id].is_starred
        has_changed |= (row.state, row.is_starred) != (state, is_starred)
        row.state, row.is_starred = state, is_starred
    return has_changed


def _version_id(project_id: int, annotation: ReviewedFrame) -> int:
    return content_id("annotation", project_id, annotation.number, annotation.updated_at.isoformat())


def _annotation_row(key: int, annotation: ReviewedFrame, sent: SentFrame) -> dict[str, object]:
    return {
        "id": key,
        "frame_id": annotation.frame_id,
        "run_id": sent.run_id,
        "project_id": sent.project_id,
        "task_id": annotation.task,
        "external_id": annotation.number,
        "state": "current",
        "annotator": annotation.annotator,
        "verdict": annotation.verdict,
        "seconds": annotation.seconds,
        "created_at": annotation.created_at,
        "updated_at": annotation.updated_at,
        "note": annotation.note,
        "problems": list(annotation.problems),
        "propagation_id": sent.propagation_id,
        "is_starred": annotation.is_starred,
    }


def _instance_rows(
    key: int, annotation: ReviewedFrame, shown: Mapping[int, ProposedInstance]
) -> Iterator[dict[str, object]]:
    measured = mask_columns([instance.mask for instance in annotation.instances])
    for rank, (instance, mask) in enumerate(zip(annotation.instances, measured, strict=True)):
        before = shown.get(instance.source_id) if instance.source_id is not None else None
        yield {
            "id": content_id("reviewed", key, rank),
            "annotation_id": key,
            "rank": rank,
            "source_id": None if before is not None and before.is_carried_only else instance.source_id,
            "origin": instance.origin,
            "iou": None if before is None else float(iou_matrix([before.mask], [instance.mask])[0, 0]),
            "keypoints": keypoints_column(instance.keypoints),
            "category": instance.category,
            **mask,
        }


def current_annotations(session: Session, frame_ids: Sequence[int]) -> dict[int, dict[int, ReviewedFrame]]:
    """Return the current annotations of frames, by frame and annotation id; frames without any are absent."""
    query = (
        select(AnnotationRow, FrameRow)
        .join(FrameRow, FrameRow.id == AnnotationRow.frame_id)
        .where(AnnotationRow.state == "current")
        .order_by(AnnotationRow.frame_id, AnnotationRow.external_id)
    )
    rows = list(select_by_ids(session, query, AnnotationRow.frame_id, frame_ids))
    instances = annotation_instances(session, {row.id: frame for row, frame in rows})
    found: dict[int, dict[int, ReviewedFrame]] = {}
    for row, _ in rows:
        found.setdefault(row.frame_id, {})[row.id] = _reviewed_frame(row, tuple(instances.get(row.id, ())))
    return found


def annotation_instances(
    session: Session, frames: Mapping[int, FrameRow]
) -> dict[int, list[ReviewedInstance]]:
    """Return the persons in annotations, whose frames are given by annotation id."""
    query = select(ReviewedInstanceRow).order_by(ReviewedInstanceRow.annotation_id, ReviewedInstanceRow.rank)
    found: dict[int, list[ReviewedInstance]] = {}
    for (row,) in select_by_ids(session, query, ReviewedInstanceRow.annotation_id, frames):
        frame = frames[row.annotation_id]
        instance = ReviewedInstance(
            mask=Mask(frame.size_hw, row.rle),
            origin=row.origin,  # type: ignore[arg-type]  # the table has a check for it
            source_id=row.source_id,
            keypoints=keypoints_of(row.keypoints),
            category=row.category,
        )
        found.setdefault(row.annotation_id, []).append(instance)
    return found


def _reviewed_frame(row: AnnotationRow, instances: tuple[ReviewedInstance, ...]) -> ReviewedFrame:
    return ReviewedFrame(
        frame_id=row.frame_id,
        task=row.task_id,
        number=row.external_id,
        annotator=row.annotator,
        verdict=row.verdict,  # type: ignore[arg-type]  # the table has a check for it
        instances=instances,
        seconds=row.seconds,
        created_at=row.created_at,
        updated_at=row.updated_at,
        note=row.note,
        problems=tuple(row.problems),
        is_starred=row.is_starred,
    )


def store_consensus(
    session: Session, rows: Sequence[Mapping[str, object]], states: Mapping[int, str]
) -> None:
    """Store consensus rows and the review states of frames; frames in `states` without a row lose theirs."""
    settled = {row["frame_id"] for row in rows}
    for page in batched((frame_id for frame_id in states if frame_id not in settled), PAGE):
        session.execute(delete(ConsensusRow).where(ConsensusRow.frame_id.in_(page)))
    update_columns = [name for name in ConsensusRow.__table__.columns.keys() if name != "frame_id"]  # noqa: SIM118
    upsert(session, ConsensusRow, rows, update_columns=update_columns)
    if states:
        changes = [{"frame_id": frame_id, "state": state} for frame_id, state in states.items()]
        session.execute(update(ReviewRow), changes)


def annotated_frames(session: Session, project_id: int) -> list[int]:
    """Return the frames of a project that have a current annotation."""
    query = select(AnnotationRow.frame_id).where(
        AnnotationRow.project_id == project_id, AnnotationRow.state == "current"
    )
    return list(session.scalars(query.distinct().order_by(AnnotationRow.frame_id)))


def all_projects(session: Session) -> list[LabelStudioProjectRow]:
    """Return all projects that frames were sent to, those that were pulled last at the end."""
    order = (LabelStudioProjectRow.pulled_until.is_not(None), LabelStudioProjectRow.pulled_until)
    return list(session.scalars(select(LabelStudioProjectRow).order_by(*order, LabelStudioProjectRow.id)))


def projects_at(session: Session, location: str) -> list[LabelStudioProjectRow]:
    """Return the projects on a Label Studio server that frames were sent to."""
    query = select(LabelStudioProjectRow).where(LabelStudioProjectRow.location == location)
    return list(session.scalars(query))
