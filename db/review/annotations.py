"""What people said about frames, and what is held to be true since.

Nothing that somebody said is ever overwritten: a later version replaces an earlier one, which stays.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from configs.models import Review as Settings
from db.frames.listing import keypoints_of
from db.models.core import FrameRow, content_id
from db.models.review import (
    AnnotationRow,
    ConsensusRow,
    LabelStudioProjectRow,
    ReviewedInstanceRow,
    ReviewRow,
)
from db.sql.mask_columns import mask_columns
from db.sql.paging import pages
from db.sql.upsert import upsert
from labeling.review import records as said
from labeling.review.consensus import Consensus, choose_annotation
from labeling.structures.masks import Mask, iou_matrix


@dataclass(frozen=True, slots=True)
class SentFrame:
    """Where a frame's annotations come from."""

    project_id: int
    task: int
    run_id: str
    """Whose masks were shown."""


def find_sent_frames(session: Session, project_id: int, frame_ids: Sequence[int]) -> dict[int, SentFrame]:
    """Frames that we sent to a project; others in there are nothing of ours."""
    found: dict[int, SentFrame] = {}
    for page in pages(frame_ids):
        query = select(ReviewRow).where(ReviewRow.frame_id.in_(page), ReviewRow.project_id == project_id)
        found |= {
            row.frame_id: SentFrame(project_id, row.task or 0, row.run_id) for row in session.scalars(query)
        }
    return found


@dataclass(frozen=True, slots=True)
class FrameAnnotations:
    """All annotations that a frame has now."""

    sent: SentFrame
    annotations: Sequence[said.ReviewedFrame]
    shown: Sequence[said.ProposedInstance]
    """The masks that people were shown."""


def store_annotations(session: Session, answers: Mapping[int, FrameAnnotations]) -> list[int]:
    """Keep what people said, by frame; returns the frames about which anything is new.

    A version that is known is not written again; one that is no longer there is marked, not removed.
    """
    known = _known_versions(session, list(answers))
    annotations, instances, changed = [], [], []
    for frame_id, answer in answers.items():
        ids = {annotation_id(answer.sent.project_id, one): one for one in answer.annotations}
        rows = [row for row in known.get(frame_id, ()) if row.project_id == answer.sent.project_id]
        outdated = _mark_versions(rows, ids)
        new = {key: one for key, one in ids.items() if key not in {row.id for row in rows}}
        if outdated or new:
            changed.append(frame_id)
        masks = {one.id: one.mask for one in answer.shown}
        annotations += [_annotation_row(key, one, answer.sent) for key, one in new.items()]
        instances += [row for key, one in new.items() for row in _instance_rows(key, one, masks)]
    upsert(session, AnnotationRow, annotations)
    upsert(session, ReviewedInstanceRow, instances)
    return changed


def _known_versions(session: Session, frame_ids: Sequence[int]) -> dict[int, list[AnnotationRow]]:
    found: dict[int, list[AnnotationRow]] = {}
    for page in pages(frame_ids):
        for row in session.scalars(select(AnnotationRow).where(AnnotationRow.frame_id.in_(page))):
            found.setdefault(row.frame_id, []).append(row)
    return found


def _mark_versions(known: Iterable[AnnotationRow], now: Mapping[int, said.ReviewedFrame]) -> bool:
    """Whether any of the known versions is another thing now: replaced, deleted, or back."""
    numbers = {one.number for one in now.values()}
    changed = False
    for row in known:
        state = "current" if row.id in now else "replaced" if row.number in numbers else "deleted"
        changed |= row.state != state
        row.state = state
    return changed


def annotation_id(project_id: int, annotation: said.ReviewedFrame) -> int:
    """Id of a version."""
    return content_id("annotation", project_id, annotation.number, annotation.updated_at.isoformat())


def _annotation_row(key: int, one: said.ReviewedFrame, sent: SentFrame) -> dict[str, object]:
    return {
        "id": key,
        "frame_id": one.frame_id,
        "run_id": sent.run_id,
        "project_id": sent.project_id,
        "task": one.task,
        "number": one.number,
        "state": "current",
        "annotator": one.annotator,
        "verdict": one.verdict,
        "seconds": one.seconds,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "note": one.note,
        "problems": list(one.problems),
    }


def _instance_rows(
    key: int, annotation: said.ReviewedFrame, shown: Mapping[int, Mask]
) -> Iterable[dict[str, object]]:
    measured = mask_columns([instance.mask for instance in annotation.instances])
    for rank, (instance, mask) in enumerate(zip(annotation.instances, measured, strict=True)):
        before = shown.get(instance.source_id) if instance.source_id is not None else None
        yield {
            "id": content_id("reviewed", key, rank),
            "annotation_id": key,
            "rank": rank,
            "source_id": instance.source_id,
            "origin": instance.origin,
            "iou": None if before is None else float(iou_matrix([before], [instance.mask])[0, 0]),
            "keypoints": [list(point) for point in instance.keypoints] if instance.keypoints else None,
            **mask,
        }


def read_annotations(
    session: Session, frame_ids: Sequence[int]
) -> dict[int, list[tuple[int, said.ReviewedFrame]]]:
    """The current annotations of frames, with their ids; frames without any are absent."""
    found: dict[int, list[tuple[int, said.ReviewedFrame]]] = {}
    for page in pages(frame_ids):
        query = (
            select(AnnotationRow, FrameRow)
            .join(FrameRow, FrameRow.id == AnnotationRow.frame_id)
            .where(AnnotationRow.frame_id.in_(page), AnnotationRow.state == "current")
            .order_by(AnnotationRow.frame_id, AnnotationRow.number)
        )
        rows = session.execute(query).tuples().all()
        instances = _instances_of(session, [(row.id, frame) for row, frame in rows])
        for row, _ in rows:
            one = _reviewed_frame(row, tuple(instances.get(row.id, ())))
            found.setdefault(row.frame_id, []).append((row.id, one))
    return found


def _instances_of(
    session: Session, annotations: Sequence[tuple[int, FrameRow]]
) -> dict[int, list[said.ReviewedInstance]]:
    frames = dict(annotations)
    found: dict[int, list[said.ReviewedInstance]] = {}
    for page in pages(list(frames)):
        query = select(ReviewedInstanceRow).where(ReviewedInstanceRow.annotation_id.in_(page))
        for row in session.scalars(
            query.order_by(ReviewedInstanceRow.annotation_id, ReviewedInstanceRow.rank)
        ):
            one = reviewed_instance(row, frames[row.annotation_id])
            found.setdefault(row.annotation_id, []).append(one)
    return found


def reviewed_instance(row: ReviewedInstanceRow, frame: FrameRow) -> said.ReviewedInstance:
    return said.ReviewedInstance(
        mask=Mask((frame.height or 0, frame.width or 0), row.rle),
        origin=row.origin,  # type: ignore[arg-type]  # held by the table's check
        source_id=row.source_id,
        keypoints=keypoints_of(row.keypoints),
    )


def _reviewed_frame(row: AnnotationRow, instances: tuple[said.ReviewedInstance, ...]) -> said.ReviewedFrame:
    return said.ReviewedFrame(
        frame_id=row.frame_id,
        task=row.task,
        number=row.number,
        annotator=row.annotator,
        verdict=row.verdict,  # type: ignore[arg-type]  # held by the table's check
        instances=instances,
        seconds=row.seconds,
        created_at=row.created_at,
        updated_at=row.updated_at,
        note=row.note,
        problems=tuple(row.problems),
    )


def update_consensus(session: Session, frame_ids: Sequence[int], settings: Settings) -> None:
    """Pick the truth about frames from their current annotations, and say in the outbox where they are."""
    annotations = read_annotations(session, frame_ids)
    consensus_rows, states = [], []
    for frame_id in frame_ids:
        words = annotations.get(frame_id, [])
        consensus = choose_annotation([one for _, one in words], settings)
        if consensus is not None:
            key = next(key for key, one in words if one is consensus.frame)
            consensus_rows.append(_consensus_row(frame_id, key, consensus))
        states.append({"frame_id": frame_id, "state": _state_of(words, consensus)})
    settled = {row["frame_id"] for row in consensus_rows}
    for page in pages([frame_id for frame_id in frame_ids if frame_id not in settled]):
        session.execute(delete(ConsensusRow).where(ConsensusRow.frame_id.in_(page)))
    upsert(session, ConsensusRow, consensus_rows, update_columns=[*ConsensusRow.__table__.columns.keys()][1:])
    if states:
        session.execute(update(ReviewRow), states)


def _consensus_row(frame_id: int, annotation: int, consensus: Consensus) -> dict[str, object]:
    return {
        "frame_id": frame_id,
        "annotation_id": annotation,
        "verdict": consensus.frame.verdict,
        "rule": consensus.rule,
        "annotators": list(consensus.annotators),
        "agreement": consensus.agreement,
    }


def _state_of(words: Collection[tuple[int, said.ReviewedFrame]], consensus: Consensus | None) -> str:
    if consensus is not None:
        return "reviewed"
    if not words:
        return "open"
    return "skipped" if all(one.verdict == "skipped" for _, one in words) else "unresolved"


def annotated_frames(session: Session, project_id: int) -> list[int]:
    """Frames of a project about which people have said something that stands."""
    query = select(AnnotationRow.frame_id).where(
        AnnotationRow.project_id == project_id, AnnotationRow.state == "current"
    )
    return list(session.scalars(query.distinct().order_by(AnnotationRow.frame_id)))


def projects_at(session: Session, place: str) -> list[LabelStudioProjectRow]:
    """Projects that frames were sent to, of one Label Studio."""
    return list(session.scalars(select(LabelStudioProjectRow).where(LabelStudioProjectRow.place == place)))
