"""Which categories a review is about: those that the configs of its runs map classes to."""

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from configs.categories import order_categories, stored_categories
from db.models.core import RunRow
from db.models.review import AnnotationRow, ReviewRow


def project_categories(session: Session, run_id: str, project_id: int | None) -> tuple[str, ...]:
    """Return the categories of a run, and of all runs whose masks were sent to a project before; None: a new project."""
    in_review = select(ReviewRow.run_id).where(ReviewRow.project_id == project_id)
    annotated = select(AnnotationRow.run_id).where(AnnotationRow.project_id == project_id)
    before = session.scalars(union(in_review, annotated)) if project_id is not None else ()
    names = (name for one in {run_id, *before} for name in run_categories(session, one))
    return order_categories(names)


def run_categories(session: Session, run_id: str) -> tuple[str, ...]:
    """Return the categories of a run."""
    return stored_categories(session.get_one(RunRow, run_id).config)
