"""Reads reviewed frames that are not scored yet, and stores the scores of models."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.models.core import AgreementRow, FrameRow
from db.models.review import AnnotationRow, ConsensusRow, ModelScoreRow
from db.review.annotations import annotation_instances
from db.review.categories import runs_lacking
from db.sql.columns import mismatches_column
from db.sql.reading import select_by_ids
from db.sql.upsert import upsert
from labeling.review.records import ReviewedInstance
from labeling.structures.agreement import FrameAgreement


def delete_stale_scores(session: Session) -> None:
    """Delete the scores against a consensus that has changed since."""
    current = (ConsensusRow.frame_id == ModelScoreRow.frame_id) & (
        ConsensusRow.annotation_id == ModelScoreRow.annotation_id
    )
    session.execute(delete(ModelScoreRow).where(~select(ConsensusRow.frame_id).where(current).exists()))


def unscored(session: Session) -> list[tuple[str, int]]:
    """Return (run, frame) pairs with a consensus and without a score.

    Unusable frames are left out, and those that were reviewed for a run that lacks a category of this one.
    """
    scored = (ModelScoreRow.run_id == AgreementRow.run_id) & (ModelScoreRow.frame_id == AgreementRow.frame_id)
    query = (
        select(AgreementRow.run_id, AgreementRow.frame_id, AnnotationRow.run_id)
        .join(ConsensusRow, ConsensusRow.frame_id == AgreementRow.frame_id)
        .join(AnnotationRow, AnnotationRow.id == ConsensusRow.annotation_id)
        .outerjoin(
            ModelScoreRow,
            scored
            & (ModelScoreRow.role == "student")
            & (ModelScoreRow.annotation_id == ConsensusRow.annotation_id),
        )
        .where(ConsensusRow.verdict != "unusable", ModelScoreRow.run_id.is_(None))
        .order_by(AgreementRow.run_id, AgreementRow.frame_id)
    )
    rows = session.execute(query).tuples().all()
    lacking = {run_id: runs_lacking(session, run_id) for run_id in {run_id for run_id, *_ in rows}}
    return [(run_id, frame_id) for run_id, frame_id, reviewed in rows if reviewed not in lacking[run_id]]


def consensus_instances(
    session: Session, frame_ids: Sequence[int]
) -> list[tuple[FrameRow, ConsensusRow, Sequence[ReviewedInstance]]]:
    """Return usable frames with their consensus and its persons."""
    query = select(FrameRow, ConsensusRow).join(ConsensusRow, ConsensusRow.frame_id == FrameRow.id)
    usable = query.where(ConsensusRow.verdict != "unusable")
    rows = list(select_by_ids(session, usable, FrameRow.id, frame_ids))
    instances = annotation_instances(session, {consensus.annotation_id: frame for frame, consensus in rows})
    return [(frame, consensus, instances.get(consensus.annotation_id, ())) for frame, consensus in rows]


def store_scores(
    session: Session, run_id: str, role: str, scores: Iterable[tuple[ConsensusRow, FrameAgreement]]
) -> None:
    """Store how well a role of a run agrees with the consensus about frames."""
    rows = [
        {
            "run_id": run_id,
            "frame_id": consensus.frame_id,
            "role": role,
            "annotation_id": consensus.annotation_id,
            "iou": found.iou,
            "boundary_iou": found.boundary_iou,
            "mismatches": mismatches_column(found),
        }
        for consensus, found in scores
    ]
    changed = ["annotation_id", "iou", "boundary_iou", "mismatches"]
    upsert(session, ModelScoreRow, rows, update_columns=changed)
