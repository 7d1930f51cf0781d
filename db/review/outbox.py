"""The outbox: which frames are to be reviewed, and the state of each.

Label Studio and this database cannot commit together. So a frame is marked `sending` before it is sent,
and its result is read from Label Studio (`reconcile`); it is never sent a second time on suspicion.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, literal, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.models.core import DecisionRow, RunRow, content_id, utc_now
from db.models.review import AnnotationRow, LabelStudioProjectRow, ReviewRow
from db.review.categories import smaller_runs
from db.review.truth import find_truths
from db.sql.reading import count_rows, select_by_ids
from db.sql.upsert import upsert
from labeling.review.records import ReviewItem

_WITH_TASK = ("open", "unresolved", "skipped")
"""States of frames with a task in Label Studio and without a consensus."""
_ANNOTATED = ("reviewed", "unresolved", "skipped")
_WITHOUT_TASK = ("waiting", "sending", "deleted")
"""States that become `open` when the task turns out to exist."""
_FREE = {"project_id": None, "task_id": None}
"""Columns of a frame that is in no project."""


def remember_project(
    session: Session, location: str, title: str, external_id: int, settings: Mapping[str, Any] | None = None
) -> int:
    """Store a project and return its id here; frames sent to a deleted one of that title wait again."""
    project_id = content_id("studio", location, title)
    known = session.get(LabelStudioProjectRow, project_id)
    if known is not None and known.external_id != external_id:
        forget_project(session, project_id)
    row = {"id": project_id, "location": location, "title": title, "external_id": external_id}
    row["settings"] = settings or {}
    update_columns = ["external_id", *(["settings"] if settings is not None else [])]
    upsert(session, LabelStudioProjectRow, [row], update_columns=update_columns)
    return project_id


def known_project(session: Session, location: str, title: str) -> LabelStudioProjectRow | None:
    """Return the project that was stored under this title; Label Studio may show another title by now."""
    return session.get(LabelStudioProjectRow, content_id("studio", location, title))


def forget_project(session: Session, project_id: int) -> int:
    """Requeue the frames of a project that was deleted in Label Studio, except reviewed ones; returns how many."""
    session.execute(
        update(LabelStudioProjectRow).where(LabelStudioProjectRow.id == project_id).values(pulled_until=None)
    )
    of_project = update(ReviewRow).where(ReviewRow.project_id == project_id)
    session.execute(of_project.values(task_id=None))
    lost = of_project.where(ReviewRow.state.in_(("open", "sending", "unresolved")))
    requeued = session.execute(lost.values(state="waiting", project_id=None, fingerprint=""))
    return int(requeued.rowcount)  # type: ignore[attr-defined]  # of CursorResult


def fill_outbox(session: Session, run_id: str, *, again: bool = False) -> None:
    """Queue the frames to be reviewed of a run. One that waits for another run gets the masks of this run.

    So are those that were reviewed for runs with fewer categories. `again`: also frames whose task was deleted in Label Studio.
    """
    replaceable = ("waiting", "withdrawn", "confirmed", *(("deleted",) if again else ()))
    may_change: ColumnElement[bool] = ReviewRow.state.in_(replaceable)
    if smaller := smaller_runs(session, run_id):
        may_change |= ReviewRow.state.in_(_ANNOTATED) & ReviewRow.run_id.in_(smaller)
    in_queue = ReviewRow.state.in_(("waiting", "confirmed")) & (ReviewRow.run_id == run_id)
    stays = or_(~may_change, in_queue)
    queued = (ReviewRow.frame_id == DecisionRow.frame_id) & stays
    missing = (  # a query on indexes alone: usually none are missing
        select(DecisionRow.frame_id)
        .outerjoin(ReviewRow, queued)
        .where(DecisionRow.run_id == run_id, DecisionRow.decision == "review", ReviewRow.frame_id.is_(None))
    )
    new = (
        select(
            *(DecisionRow.frame_id, DecisionRow.run_id, literal("waiting"), DecisionRow.priority, literal(""))
        )
        .where(DecisionRow.run_id == run_id, DecisionRow.frame_id.in_(missing))
        .where(DecisionRow.priority.is_not(None), DecisionRow.image.is_not(None))
    )
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(ReviewRow).from_select(
        ["frame_id", "run_id", "state", "priority", "fingerprint"], new, include_defaults=False
    )
    changes = {name: statement.excluded[name] for name in ("run_id", "state", "priority", "fingerprint")}
    changes |= {"task_id": null(), "project_id": null()}
    session.execute(
        statement.on_conflict_do_update(index_elements=["frame_id"], set_=changes, where=may_change)
    )


def withdraw_unwanted(
    session: Session, run_id: str, project_id: int, *, started: Collection[int]
) -> list[int]:
    """Withdraw frames of other runs, in this project or in none, that this run decided need no review.

    Returns them. Frames in `started` stay, because an annotator has begun them.
    """
    unwanted = (
        DecisionRow.run_id == run_id,
        DecisionRow.frame_id == ReviewRow.frame_id,
        DecisionRow.decision != "review",
    )
    here = (ReviewRow.state == "open") & (ReviewRow.project_id == project_id)
    other_runs = session.scalars(select(RunRow.id).where(RunRow.id != run_id)).all()
    rows = session.scalars(
        select(ReviewRow).where(
            ReviewRow.run_id.in_(other_runs),
            ReviewRow.state.in_(("waiting", "open")),
            or_(ReviewRow.state == "waiting", here),
            select(DecisionRow.frame_id).where(*unwanted).exists(),
        )
    ).all()
    withdrawn = [row.frame_id for row in rows if row.frame_id not in started]
    withdraw(session, withdrawn)
    return withdrawn


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a comparison with Label Studio changed in the outbox."""

    adopted: int
    """Frames whose task exists although sending it was not confirmed."""
    deleted: int
    """Frames whose task was deleted."""
    left_over: set[int]
    """Tasks of withdrawn frames."""


@dataclass(frozen=True, slots=True)
class KnownTasks:
    """The tasks that the outbox has recorded for a project."""

    unfinished: dict[int, int]
    """Task id by frame id, of frames without a consensus."""
    last: int
    """The highest recorded task id, also of frames that wait again; 0: none."""


def known_tasks(session: Session, project_id: int) -> KnownTasks:
    of_project = ReviewRow.project_id == project_id
    unfinished = select(ReviewRow.frame_id, ReviewRow.task_id).where(
        of_project, ReviewRow.state.in_(_WITH_TASK), ReviewRow.task_id.is_not(None)
    )
    last = session.scalar(select(func.max(ReviewRow.task_id)).where(of_project))
    answered = session.scalar(
        select(func.max(AnnotationRow.task_id)).where(AnnotationRow.project_id == project_id)
    )
    return KnownTasks(
        {frame: task for frame, task in session.execute(unfinished) if task}, max(last or 0, answered or 0)
    )


def unanswered_frames(session: Session, project_id: int) -> list[int]:
    """Return the frames of a project without a known annotation."""
    query = select(ReviewRow.frame_id).where(ReviewRow.project_id == project_id, ReviewRow.state == "open")
    return list(session.scalars(query))


def finished_frames(session: Session, project_id: int, frame_ids: Sequence[int]) -> set[int]:
    """Return those of these frames that have a consensus from this project: another task is a duplicate."""
    reviewed = (ReviewRow.project_id == project_id) & (ReviewRow.state == "reviewed")
    query = select(ReviewRow.frame_id).where(reviewed)
    return {frame_id for (frame_id,) in select_by_ids(session, query, ReviewRow.frame_id, frame_ids)}


def tasks_of(session: Session, project_id: int, frame_ids: Sequence[int]) -> dict[int, int]:
    """Return the recorded tasks of frames in a project."""
    query = select(ReviewRow.frame_id, ReviewRow.task_id).where(ReviewRow.project_id == project_id)
    rows = select_by_ids(session, query, ReviewRow.frame_id, frame_ids)
    return {frame_id: task_id for frame_id, task_id in rows if task_id}


def reconcile(session: Session, project_id: int, tasks: Mapping[int, int]) -> Reconciliation:
    """Update the outbox to the tasks that exist in a Label Studio project.

    `tasks`: task id by frame id, of all tasks that are not begun, and of all recorded tasks of frames without
    a consensus, as far as they exist. A frame in `sending` without a task is left: the server may still be
    importing it. A frame recorded in another project has moved: the server has another address now.
    """
    rows = _rows_to_reconcile(session, project_id, tasks)
    planted = _planted_elsewhere(session, project_id, rows)
    existing = [(row, tasks[row.frame_id]) for row in rows if row.frame_id in tasks.keys() - planted]
    adopted = {row.frame_id: task for row, task in existing if row.state in _WITHOUT_TASK}
    moved = [
        {"frame_id": row.frame_id, "project_id": project_id, "task_id": task}
        for row, task in existing
        if row.state in (*_WITH_TASK, "reviewed") and (row.project_id, row.task_id) != (project_id, task)
    ]
    left_over = {task for row, task in existing if row.state == "withdrawn"}
    deleted = [
        {"frame_id": row.frame_id, "task_id": None, "state": "deleted"}
        for row in rows
        if row.frame_id not in tasks and row.task_id is not None and row.state in _WITH_TASK
    ]
    confirm_sent(session, project_id, adopted)
    _update(session, moved)
    _update(session, deleted)
    return Reconciliation(len(adopted), len(deleted), left_over)


def _planted_elsewhere(session: Session, project_id: int, rows: Sequence[ReviewRow]) -> set[int]:
    """Return the frames with a known truth that belong to a project of another title: here, an expert labeled them."""
    truths = find_truths(session, [row.frame_id for row in rows])
    if not truths:
        return set()
    titles = dict(
        session.execute(select(LabelStudioProjectRow.id, LabelStudioProjectRow.title)).tuples().all()
    )
    here = {None, titles[project_id]}
    return {
        row.frame_id for row in rows if row.frame_id in truths and titles.get(row.project_id or 0) not in here
    }


def _rows_to_reconcile(session: Session, project_id: int, tasks: Mapping[int, int]) -> list[ReviewRow]:
    """Read the unfinished reviews of a project, and those of frames that have a task in it."""
    unfinished = ReviewRow.state.in_((*_WITH_TASK, "sending"))
    rows = list(session.scalars(select(ReviewRow).where(ReviewRow.project_id == project_id, unfinished)))
    known = {row.frame_id for row in rows}
    others = [frame_id for frame_id in tasks if frame_id not in known]
    return rows + [row for (row,) in select_by_ids(session, select(ReviewRow), ReviewRow.frame_id, others)]


def frames_being_sent(session: Session, project_id: int) -> dict[int, datetime]:
    """Return the frames that were sent and not confirmed, with the time of sending."""
    query = select(ReviewRow.frame_id, ReviewRow.sent_at).where(
        ReviewRow.project_id == project_id, ReviewRow.state == "sending"
    )
    return {frame_id: sent_at for frame_id, sent_at in session.execute(query) if sent_at}


def mark_sending(
    session: Session,
    project_id: int,
    fingerprints: Mapping[int, str],
    *,
    propagations: Mapping[int, int | None] | None = None,
) -> None:
    """Mark frames that are about to be sent, with the fingerprints of their predictions.

    `propagations`: the carried masks that are shown, by frame id.
    """
    shown = propagations or {}
    changes = {"project_id": project_id, "state": "sending", "sent_at": utc_now()}
    rows = [
        {
            "frame_id": frame_id,
            "fingerprint": fingerprint,
            "propagation_id": shown.get(frame_id),
            **changes,
        }
        for frame_id, fingerprint in fingerprints.items()
    ]
    _update(session, rows)


def confirm_sent(session: Session, project_id: int, tasks: Mapping[int, int]) -> None:
    """Mark frames, given with their tasks, as open; a state that was set by an annotation meanwhile is kept."""
    rows = [{"of_frame": frame, "in_project": project_id, "as_task": task} for frame, task in tasks.items()]
    table = ReviewRow.__table__
    statement = (
        update(ReviewRow)
        .where(
            table.c.frame_id == bindparam("of_frame"),
            or_(*(table.c.state == state for state in _WITHOUT_TASK)),
        )
        .values(project_id=bindparam("in_project"), task_id=bindparam("as_task"), state="open")
    )
    if rows:
        session.connection().execute(statement, rows)


def requeue(session: Session, frame_ids: Collection[int]) -> None:
    """Queue frames again that were sent and did not arrive."""
    _update(session, [{"frame_id": frame_id, "state": "waiting", **_FREE} for frame_id in frame_ids])


def extend_sending(session: Session, frame_ids: Iterable[int]) -> None:
    """Restart the time limit of frames whose request timed out: the server may still be importing them."""
    _update(session, [{"frame_id": frame_id, "sent_at": utc_now()} for frame_id in frame_ids])


def open_frames(session: Session, project_id: int, run_id: str) -> list[ReviewRow]:
    """Return the open frames of a project that this run decided need a review, highest priority first."""
    to_review = (
        DecisionRow.frame_id == ReviewRow.frame_id,
        DecisionRow.run_id == run_id,
        DecisionRow.decision == "review",
    )
    query = (
        select(ReviewRow)
        .where(ReviewRow.project_id == project_id, ReviewRow.state == "open")
        .where(select(DecisionRow.frame_id).where(*to_review).exists())
        .order_by(ReviewRow.priority.desc(), ReviewRow.frame_id)
    )
    return list(session.scalars(query))


def review_states(session: Session, frame_ids: Sequence[int]) -> dict[int, str]:
    """Return the states of frames in the outbox."""
    query = select(ReviewRow.frame_id, ReviewRow.state)
    return dict(select_by_ids(session, query, ReviewRow.frame_id, frame_ids))


def withdraw(session: Session, frame_ids: Iterable[int]) -> None:
    """Withdraw frames that need no review or cannot be shown; a later push may queue them again."""
    _update(session, [{"frame_id": frame_id, "state": "withdrawn", **_FREE} for frame_id in frame_ids])


def count_elsewhere(session: Session, run_id: str, project_id: int) -> int:
    """Return how many frames of a run are open in another project, on this or another server."""
    return count_rows(session, ReviewRow, _is_elsewhere(run_id, project_id))


def move_from_other_project(session: Session, run_id: str, project_id: int) -> None:
    """Queue the frames of a run again that are open in another project."""
    waiting = {"state": "waiting", "fingerprint": "", **_FREE}
    session.execute(update(ReviewRow).where(_is_elsewhere(run_id, project_id)).values(**waiting))


def _is_elsewhere(run_id: str, project_id: int) -> ColumnElement[bool]:
    is_open = (ReviewRow.run_id == run_id) & ReviewRow.state.in_(("open", "sending"))
    return is_open & (ReviewRow.project_id != project_id)


def send_again(session: Session, items: Iterable[ReviewItem], *, run_id: str) -> None:
    """Queue frames again that are to show the masks of this run instead of others."""
    waiting = {"run_id": run_id, "state": "waiting", "fingerprint": "", **_FREE}
    _update(session, [{"frame_id": item.frame_id, "priority": item.value, **waiting} for item in items])


def _update(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Update rows by primary key in one prepared statement."""
    if rows:
        session.execute(update(ReviewRow), list(rows))
