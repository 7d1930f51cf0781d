"""The outbox of review: which frames people are to look at, and where each of them is.

Label Studio's commit and ours cannot be one. So a frame is marked `sending` before it is handed over,
and what became of it is found by looking there (`reconcile`), never by sending it again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, func, literal, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.models.core import DecisionRow, RunRow, content_id, utc_now
from db.models.review import LabelStudioProjectRow, ReviewRow
from db.sql.paging import pages
from db.sql.upsert import upsert
from labeling.review.records import ReviewItem

HAVE_A_TASK = ("open", "unresolved", "skipped")
"""States whose frame has a task in Label Studio and no truth."""
_WITHOUT_A_WORD = ("waiting", "sending", "deleted")
"""States that a task which is there after all ends; others know more."""


@dataclass(frozen=True, slots=True)
class FrameTask:
    """A frame and its task in Label Studio."""

    frame_id: int
    task: int


def remember_project(
    session: Session, place: str, title: str, number: int, settings: Mapping[str, Any] | None = None
) -> int:
    """Our id of a project; frames that waited for people in one that is gone wait for a push again."""
    project_id = content_id("studio", place, title)
    known = session.get(LabelStudioProjectRow, project_id)
    if known is not None and known.number != number:
        _take_back(session, project_id)
    row = {"id": project_id, "place": place, "title": title, "number": number, "settings": settings or {}}
    changed = ["number", *(["settings"] if settings is not None else [])]
    upsert(session, LabelStudioProjectRow, [row], update_columns=changed)
    return project_id


def known_project(session: Session, place: str, title: str) -> LabelStudioProjectRow | None:
    """The project that frames were sent to under this title; it may have another title there by now."""
    return session.get(LabelStudioProjectRow, content_id("studio", place, title))


def forget_project(session: Session, project_id: int) -> int:
    """The project was deleted in Label Studio; returns how many frames wait for a push again."""
    return _take_back(session, project_id)


def _take_back(session: Session, project_id: int) -> int:
    """What people said stays ours; frames without a word of theirs go back to the outbox."""
    session.execute(
        update(LabelStudioProjectRow).where(LabelStudioProjectRow.id == project_id).values(pulled_until=None)
    )
    of_project = update(ReviewRow).where(ReviewRow.project_id == project_id)
    session.execute(of_project.values(task=None))
    lost = of_project.where(ReviewRow.state.in_(("open", "sending", "unresolved")))
    done = session.execute(lost.values(state="waiting", project_id=None, fingerprint=""))
    return int(done.rowcount)  # type: ignore[attr-defined]  # of CursorResult


def fill_outbox(session: Session, run_id: str, *, again: bool = False) -> None:
    """Enter the frames that a run wants reviewed. One that waits for another run takes this run's masks.

    `again`: also frames whose task somebody deleted in Label Studio.
    """
    taken_over = ("waiting", "withdrawn", *(("deleted",) if again else ()))
    stays = or_(
        ReviewRow.state.not_in(taken_over), and_(ReviewRow.state == "waiting", ReviewRow.run_id == run_id)
    )
    entered = (ReviewRow.frame_id == DecisionRow.frame_id) & stays
    missing = (  # by an index alone: mostly none are
        select(DecisionRow.frame_id)
        .outerjoin(ReviewRow, entered)
        .where(DecisionRow.run_id == run_id, DecisionRow.decision == "review", ReviewRow.frame_id.is_(None))
    )
    wanted = (
        select(DecisionRow.frame_id, DecisionRow.run_id, literal("waiting"), DecisionRow.value, literal(""))
        .where(DecisionRow.run_id == run_id, DecisionRow.frame_id.in_(missing))
        .where(DecisionRow.value.is_not(None), DecisionRow.image.is_not(None))
    )
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(ReviewRow).from_select(
        ["frame_id", "run_id", "state", "value", "fingerprint"], wanted, include_defaults=False
    )
    fresh = {name: statement.excluded[name] for name in ("run_id", "state", "value", "fingerprint")}
    fresh |= {"task": null(), "project_id": null()}
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["frame_id"], set_=fresh, where=ReviewRow.state.in_(taken_over)
        )
    )


def withdraw_unwanted(
    session: Session, run_id: str, project_id: int, *, started: Collection[int]
) -> list[int]:
    """Mark frames of a project, or of none yet, that this run looked at and does not want reviewed;
    returns them.

    Frames in `started` stay: somebody's work is in them.
    """
    unwanted = (
        DecisionRow.run_id == run_id,
        DecisionRow.frame_id == ReviewRow.frame_id,
        DecisionRow.decision != "review",
    )
    here = (ReviewRow.state == "open") & (ReviewRow.project_id == project_id)
    others = session.scalars(select(RunRow.id).where(RunRow.id != run_id)).all()
    rows = session.scalars(
        select(ReviewRow).where(
            ReviewRow.run_id.in_(others),
            ReviewRow.state.in_(("waiting", "open")),
            or_(ReviewRow.state == "waiting", here),
            select(DecisionRow.frame_id).where(*unwanted).exists(),
        )
    ).all()
    leaving = [row.frame_id for row in rows if row.frame_id not in started]
    withdraw(session, leaving)
    return leaving


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What looking at Label Studio changed here."""

    adopted: int
    """Frames that were there although nobody had told us."""
    deleted: int
    """Frames whose task is gone."""
    left_over: tuple[FrameTask, ...]
    """Tasks of frames that were withdrawn."""


@dataclass(frozen=True, slots=True)
class KnownTasks:
    """What we believe to be in a project."""

    unfinished: dict[int, int]
    """Task by frame that has no truth."""
    last: int
    """The highest task of all that we know; 0: none."""


def known_tasks(session: Session, project_id: int) -> KnownTasks:
    of_project = ReviewRow.project_id == project_id
    unfinished = select(ReviewRow.frame_id, ReviewRow.task).where(
        of_project, ReviewRow.state.in_(HAVE_A_TASK), ReviewRow.task.is_not(None)
    )
    last = session.scalar(select(func.max(ReviewRow.task)).where(of_project))
    return KnownTasks({frame: task for frame, task in session.execute(unfinished) if task}, last or 0)


def unanswered_frames(session: Session, project_id: int) -> list[int]:
    """Frames of a project about which nobody has said anything that we know."""
    query = select(ReviewRow.frame_id).where(ReviewRow.project_id == project_id, ReviewRow.state == "open")
    return list(session.scalars(query))


def finished_frames(session: Session, project_id: int, frame_ids: Sequence[int]) -> set[int]:
    """Those of these frames that have a truth from this project: another task of theirs is a double."""
    found: set[int] = set()
    for page in pages(frame_ids):
        here = (
            ReviewRow.frame_id.in_(page)
            & (ReviewRow.project_id == project_id)
            & (ReviewRow.state == "reviewed")
        )
        found |= set(session.scalars(select(ReviewRow.frame_id).where(here)))
    return found


def tasks_of(session: Session, project_id: int, frame_ids: Sequence[int]) -> dict[int, int]:
    """Tasks that frames are known to have in a project."""
    found: dict[int, int] = {}
    for page in pages(frame_ids):
        here = ReviewRow.frame_id.in_(page) & (ReviewRow.project_id == project_id)
        query = select(ReviewRow.frame_id, ReviewRow.task).where(here, ReviewRow.task.is_not(None))
        found |= {frame: task for frame, task in session.execute(query) if task}
    return found


def reconcile(session: Session, project_id: int, tasks: Mapping[int, int]) -> Reconciliation:
    """Bring the outbox in line with the tasks by frame id that are in a project of Label Studio: all that
    nobody has begun, and all that we know of frames without a truth, as far as they are there.

    A frame that is being sent and is not there stays as it is: the server may still be at it. One that
    we know elsewhere and that is there after all has moved: the server has another address now.
    """
    here = _rows_of(session, project_id, tasks)
    there = [(row, tasks[row.frame_id]) for row in here if row.frame_id in tasks]
    adopted = [FrameTask(row.frame_id, task) for row, task in there if row.state in _WITHOUT_A_WORD]
    moved = [
        {"frame_id": row.frame_id, "project_id": project_id, "task": task}
        for row, task in there
        if row.state in (*HAVE_A_TASK, "reviewed") and (row.project_id, row.task) != (project_id, task)
    ]
    left_over = tuple(FrameTask(row.frame_id, task) for row, task in there if row.state == "withdrawn")
    gone = [
        row.frame_id
        for row in here
        if row.frame_id not in tasks and row.task is not None and row.state in HAVE_A_TASK
    ]
    confirm_sent(session, project_id, adopted)
    _update(session, moved)
    return Reconciliation(len(adopted), _forget_tasks(session, gone), left_over)


def _rows_of(session: Session, project_id: int, tasks: Mapping[int, int]) -> list[ReviewRow]:
    """Unfinished reviews of a project, and those of frames that have a task in it."""
    unfinished = ReviewRow.state.in_((*HAVE_A_TASK, "sending"))
    rows = list(session.scalars(select(ReviewRow).where(ReviewRow.project_id == project_id, unfinished)))
    known = {row.frame_id for row in rows}
    for page in pages([frame_id for frame_id in tasks if frame_id not in known]):
        rows += session.scalars(select(ReviewRow).where(ReviewRow.frame_id.in_(page)))
    return rows


def _forget_tasks(session: Session, frame_ids: Sequence[int]) -> int:
    _update(session, [{"frame_id": frame_id, "task": None, "state": "deleted"} for frame_id in frame_ids])
    return len(frame_ids)


def frames_being_sent(session: Session, project_id: int) -> dict[int, datetime]:
    """Frames that were handed over and not confirmed, and when."""
    query = select(ReviewRow.frame_id, ReviewRow.sent_at).where(
        ReviewRow.project_id == project_id, ReviewRow.state == "sending"
    )
    return {frame_id: sent_at for frame_id, sent_at in session.execute(query) if sent_at}


def mark_sending(session: Session, project_id: int, fingerprints: Mapping[int, str]) -> None:
    """Frames, with their predictions' fingerprints, that are about to be handed over."""
    changes = {"project_id": project_id, "state": "sending", "sent_at": utc_now()}
    rows = [
        {"frame_id": frame_id, "fingerprint": fingerprint, **changes}
        for frame_id, fingerprint in fingerprints.items()
    ]
    _update(session, rows)


def confirm_sent(session: Session, project_id: int, placed: Iterable[FrameTask]) -> None:
    """Frames that are there; what people have said of them meanwhile stands."""
    rows = [{"of_frame": one.frame_id, "in_project": project_id, "as_task": one.task} for one in placed]
    table = ReviewRow.__table__
    statement = (
        update(ReviewRow)
        .where(
            table.c.frame_id == bindparam("of_frame"),
            or_(*(table.c.state == state for state in _WITHOUT_A_WORD)),
        )
        .values(project_id=bindparam("in_project"), task=bindparam("as_task"), state="open")
    )
    if rows:
        session.connection().execute(statement, rows)


def requeue(session: Session, frame_ids: Collection[int]) -> None:
    """Frames that were handed over and did not arrive."""
    free = {"state": "waiting", "project_id": None, "task": None}
    _update(session, [{"frame_id": frame_id, **free} for frame_id in frame_ids])


def extend_sending(session: Session, frame_ids: Iterable[int]) -> None:
    """Frames whose request we gave up: the server may be at it from now on as long as from its start."""
    _update(session, [{"frame_id": frame_id, "sent_at": utc_now()} for frame_id in frame_ids])


def open_frames(session: Session, project_id: int, run_id: str) -> list[ReviewRow]:
    """Frames that wait for a person and that this run wants reviewed, as they were sent."""
    wanted = (
        DecisionRow.frame_id == ReviewRow.frame_id,
        DecisionRow.run_id == run_id,
        DecisionRow.decision == "review",
    )
    query = (
        select(ReviewRow)
        .where(ReviewRow.project_id == project_id, ReviewRow.state == "open")
        .where(select(DecisionRow.frame_id).where(*wanted).exists())
        .order_by(ReviewRow.value.desc(), ReviewRow.frame_id)
    )
    return list(session.scalars(query))


def review_states(session: Session, frame_ids: Sequence[int]) -> dict[int, str]:
    """Where frames are."""
    found: dict[int, str] = {}
    for page in pages(frame_ids):
        query = select(ReviewRow.frame_id, ReviewRow.state).where(ReviewRow.frame_id.in_(page))
        found |= dict(session.execute(query).tuples().all())
    return found


def withdraw(session: Session, frame_ids: Iterable[int]) -> None:
    """Frames that are not to be shown, or cannot be; a later push looks at them again."""
    nowhere = {"state": "withdrawn", "project_id": None, "task": None}
    _update(session, [{"frame_id": frame_id, **nowhere} for frame_id in frame_ids])


def count_elsewhere(session: Session, run_id: str, project_id: int) -> int:
    """Frames of a run that wait for people in another project, or in one on another server."""
    query = select(func.count()).select_from(ReviewRow)
    elsewhere = (ReviewRow.project_id != project_id) & ReviewRow.state.in_(("open", "sending"))
    return session.scalar(query.where(elsewhere, ReviewRow.run_id == run_id)) or 0


def move_from_other_project(session: Session, run_id: str, project_id: int) -> None:
    """Frames of a run that wait in another project without a word of anybody: they are sent here."""
    elsewhere = (ReviewRow.project_id != project_id) & ReviewRow.state.in_(("open", "sending"))
    free = {"state": "waiting", "project_id": None, "task": None, "fingerprint": ""}
    session.execute(update(ReviewRow).where(elsewhere, ReviewRow.run_id == run_id).values(**free))


def send_again(session: Session, items: Iterable[ReviewItem], *, run_id: str) -> None:
    """Frames that are to show this run's masks instead of others."""
    fresh = {"run_id": run_id, "state": "waiting", "project_id": None, "task": None, "fingerprint": ""}
    _update(session, [{"frame_id": item.frame_id, "value": item.value, **fresh} for item in items])


def _update(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Update by primary key, in one prepared statement."""
    if rows:
        session.execute(update(ReviewRow), list(rows))
