"""What reviews teach: every run that looked at a frame is compared with the truth about it."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from configs.models import Agreement as Settings
from db.frames.listing import seen_instance
from db.models.core import AgreementRow, FrameRow, InstanceRow, RunRow
from db.models.review import ConsensusRow, ModelScoreRow, ReviewedInstanceRow
from db.review.annotations import reviewed_instance
from db.runs.queries import run_models
from db.sql.paging import pages
from db.sql.upsert import upsert
from labeling.comparison.agreement import compare_instances
from labeling.structures.agreement import FrameAgreement
from labeling.structures.instances import Instance as Seen

ROLES = ("teacher", "student")


def drop_stale_scores(session: Session) -> None:
    """Scores by a truth that is no longer held."""
    held = (ConsensusRow.frame_id == ModelScoreRow.frame_id) & (
        ConsensusRow.annotation_id == ModelScoreRow.annotation_id
    )
    session.execute(delete(ModelScoreRow).where(~select(ConsensusRow.frame_id).where(held).exists()))


def unscored(session: Session) -> list[tuple[str, int]]:
    """(run, frame) that have a truth and no score by it; unusable frames never have one."""
    scored = (ModelScoreRow.run_id == AgreementRow.run_id) & (ModelScoreRow.frame_id == AgreementRow.frame_id)
    query = (
        select(AgreementRow.run_id, AgreementRow.frame_id)
        .join(ConsensusRow, ConsensusRow.frame_id == AgreementRow.frame_id)
        .outerjoin(
            ModelScoreRow,
            scored
            & (ModelScoreRow.role == "student")
            & (ModelScoreRow.annotation_id == ConsensusRow.annotation_id),
        )
        .where(ConsensusRow.verdict != "unusable", ModelScoreRow.run_id.is_(None))
        .order_by(AgreementRow.run_id, AgreementRow.frame_id)
    )
    return list(session.execute(query).tuples())


def score_frames(session: Session, run: RunRow, frame_ids: Sequence[int]) -> None:
    """Compare both roles of a run with the truth about frames, by the run's own settings."""
    settings = Settings.model_validate(run.config["agreement"])
    models = run_models(session, run)
    truths = _truths(session, frame_ids)
    rows = []
    for role in ROLES:
        is_semantic = role in models and models[role].gives_instances is False
        seen = _instances(session, run.id, frame_ids, role)
        for frame, truth, masks in truths:
            found = compare_instances(
                masks,
                seen.get(frame.id, []),
                (frame.height or 0, frame.width or 0),
                settings,
                student_is_semantic=is_semantic,
            )
            rows.append(_score_row(run.id, role, truth, found))
    changed = ["annotation_id", "iou", "boundary_iou", "mismatches"]
    upsert(session, ModelScoreRow, rows, update_columns=changed)


def _truths(session: Session, frame_ids: Sequence[int]) -> list[tuple[FrameRow, ConsensusRow, list[Seen]]]:
    """Frames with the people who are really there."""
    rows = _by_pages(session, frame_ids)
    masks: dict[int, list[Seen]] = {}
    frames = {truth.annotation_id: frame for frame, truth in rows}
    for page in pages(list(frames)):
        query = select(ReviewedInstanceRow).where(ReviewedInstanceRow.annotation_id.in_(page))
        for row in session.scalars(
            query.order_by(ReviewedInstanceRow.annotation_id, ReviewedInstanceRow.rank)
        ):
            mask = reviewed_instance(row, frames[row.annotation_id]).mask
            masks.setdefault(row.annotation_id, []).append(Seen(mask, 1.0, mask.box_xywh))
    return [(frame, truth, masks.get(truth.annotation_id, [])) for frame, truth in rows]


def _by_pages(session: Session, frame_ids: Sequence[int]) -> list[tuple[FrameRow, ConsensusRow]]:
    rows: list[tuple[FrameRow, ConsensusRow]] = []
    for page in pages(frame_ids):
        query = select(FrameRow, ConsensusRow).join(ConsensusRow, ConsensusRow.frame_id == FrameRow.id)
        rows += session.execute(
            query.where(FrameRow.id.in_(page), ConsensusRow.verdict != "unusable")
        ).tuples()
    return rows


def _instances(session: Session, run_id: str, frame_ids: Sequence[int], role: str) -> dict[int, list[Seen]]:
    found: dict[int, list[Seen]] = {}
    for page in pages(frame_ids):
        query = (
            select(InstanceRow, FrameRow)
            .join(FrameRow, FrameRow.id == InstanceRow.frame_id)
            .where(InstanceRow.run_id == run_id, InstanceRow.role == role, InstanceRow.frame_id.in_(page))
            .order_by(InstanceRow.frame_id, InstanceRow.rank)
        )
        for row, frame in session.execute(query).tuples():
            found.setdefault(frame.id, []).append(seen_instance(row, frame))
    return found


def _score_row(run_id: str, role: str, truth: ConsensusRow, found: FrameAgreement) -> dict[str, object]:
    return {
        "run_id": run_id,
        "frame_id": truth.frame_id,
        "role": role,
        "annotation_id": truth.annotation_id,
        "iou": found.iou,
        "boundary_iou": found.boundary_iou,
        "mismatches": [[m.cause, list(m.teacher), list(m.student), m.iou] for m in found.mismatches],
    }
