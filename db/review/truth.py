"""Which frames have a known truth: annotators' answers about them are measured, and are not in any dataset.

A truth is stored as an annotation in a project of its own, which is on no server. It is the consensus of its frame, whatever
annotators answer, and the frame is never sent as an ordinary task. Nothing in a task says so.
"""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.models.core import content_id
from db.models.review import AnnotationRow, LabelStudioProjectRow
from db.sql.reading import select_by_ids

TRUTH = "ground truth"
"""Location and title of the project of truths, and their annotator's name."""
TRUTH_PROJECT = content_id("studio", TRUTH, TRUTH)


def knows_truth(session: Session) -> bool:
    """Return whether any truth was ever stored; most databases have none."""
    return session.get(LabelStudioProjectRow, TRUTH_PROJECT) is not None


def has_truth(frame_id: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """Return whether the truth of the frame in this column is known."""
    truth = aliased(AnnotationRow)
    known = select(truth.id).where(truth.frame_id == frame_id, truth.project_id == TRUTH_PROJECT)
    return known.where(truth.state == "current").exists()


def find_truths(session: Session, frame_ids: Iterable[int]) -> dict[int, int]:
    """Return the annotation that is the truth of each of these frames that has one, by frame id."""
    if not knows_truth(session):
        return {}
    query = select(AnnotationRow.frame_id, AnnotationRow.id).where(
        AnnotationRow.project_id == TRUTH_PROJECT, AnnotationRow.state == "current"
    )
    return dict(select_by_ids(session, query, AnnotationRow.frame_id, frame_ids))
