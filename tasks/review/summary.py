"""What reviews teach, for people: rows of a table, and Prefect's artifact of it."""

from collections.abc import Iterator

from prefect.artifacts import create_table_artifact
from sqlalchemy import select

from db.models.core import RunRow
from db.models.review import AnnotationRow
from db.review.summary import ReviewSummary, summarize_reviews
from labeling.storage.home import Home
from labeling.text.figures import count, duration, percent
from tasks.execution.database import database_of


def publish_reviews(home: Home) -> None:
    """A table for every run whose masks people have judged, on Prefect's page of artifacts."""
    with database_of(home).session() as session:
        judged = session.scalars(select(RunRow).where(RunRow.id.in_(select(AnnotationRow.run_id)))).all()
        tables = {run.id: list(review_rows(summarize_reviews(session, run))) for run in judged}
    for run_id, rows in tables.items():
        create_table_artifact(
            key=f"reviews-{run_id}",
            table=[{"what": what, "value": value} for what, value in rows],
            description=f"What people said about run {run_id}, and what it says about its models",
        )


def review_rows(summary: ReviewSummary) -> Iterator[tuple[str, str]]:
    """What there is to say, as (what, value)."""
    masks, scores = summary.masks, summary.scores
    for state, frames in summary.frames.items():
        yield f"frames {state}", count(frames)
    for verdict, frames in summary.verdicts.items():
        yield f"verdict {verdict}", count(frames)
    if masks.shown or masks.added:
        yield f"masks of {summary.teacher} judged", count(masks.shown)
        yield "untouched", f"{count(masks.untouched)} ({percent(masks.untouched, masks.shown)})"
        yield "corrected", f"{count(masks.corrected)}{_mean(masks.corrected_iou)}"
        yield "removed", count(masks.removed)
        yield "people added", count(masks.added)
    if scores.frames:
        yield "IoU of teacher and truth", f"{scores.teacher_iou:.3f}"
        yield "IoU of student and truth", f"{scores.student_iou:.3f}"
        yield "IoU of student and teacher, same frames", f"{scores.student_iou_before:.3f}"
        yield from (
            (f"mistakes of the teacher: {cause}", count(number))
            for cause, number in scores.teacher_causes.items()
        )
        yield from (
            (f"mistakes of the student: {cause}", count(number))
            for cause, number in scores.student_causes.items()
        )
    if summary.seconds_per_mask is not None:
        yield "human work", duration(summary.seconds)
        yield "human work per mask", duration(summary.seconds_per_mask)


def _mean(iou: float | None) -> str:
    return "" if iou is None else f" (mean IoU before and after: {iou:.3f})"
