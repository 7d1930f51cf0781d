"""Which categories a review is about: those that the configs of its runs map classes to.

A review says nothing about a category that its run does not have: there, no annotator was asked.
"""

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from configs.categories import order_categories, stored_categories
from db.models.core import RunRow
from db.models.review import AnnotationRow, ReviewRow


def project_categories(session: Session, project_id: int) -> tuple[str, ...]:
    """Return the categories of all runs whose masks were sent to a project; empty: none were sent."""
    in_review = select(ReviewRow.run_id).where(ReviewRow.project_id == project_id)
    annotated = select(AnnotationRow.run_id).where(AnnotationRow.project_id == project_id)
    runs = session.scalars(union(in_review, annotated))
    names = {name for one in runs for name in run_categories(session, one)}
    return order_categories(names) if names else ()


def run_categories(session: Session, run_id: str) -> tuple[str, ...]:
    """Return the categories of a run."""
    return stored_categories(session.get_one(RunRow, run_id).config)


def runs_lacking(session: Session, run_id: str) -> list[str]:
    """Return the runs that lack a category of this run: for it, frames reviewed with their masks are not reviewed."""
    needed = set(run_categories(session, run_id))
    return sorted(key for key, found in _categories_of_runs(session) if not needed <= found)


def smaller_runs(session: Session, run_id: str) -> list[str]:
    """Return the runs that lack a category of this run and have no other: a review for this one replaces theirs."""
    own = set(run_categories(session, run_id))
    return sorted(key for key, found in _categories_of_runs(session) if found < own)


def _categories_of_runs(session: Session) -> list[tuple[str, set[str]]]:
    # only the classes: this is asked for each part of an export, and a config is long
    classes = RunRow.config["teacher"]["classes"]
    rows = session.execute(select(RunRow.id, classes)).tuples()
    return [(key, set(order_categories((found or {}).values()))) for key, found in rows]
