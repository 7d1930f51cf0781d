"""Reads and writes the students that were trained here, and which of them is in use."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.errors import ConfigError
from db.models.core import utc_now
from db.models.students import StudentPromotionRow, StudentRow
from db.sql.upsert import upsert

CURRENT, LATEST = "current", "latest"
"""Stand for the student in use, and for the one that was trained last."""
State = Literal["candidate", "current", "retired"]
_ID = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True, slots=True)
class StudentLine:
    """A line of `maskmill student list`."""

    id: str
    """SHA-256 of network.onnx."""
    state: State
    """`candidate`: never in use; `retired`: it was."""
    dataset: str
    network: str
    created_at: datetime
    """UTC."""
    created_by: str
    metrics: dict[str, Any]


def record_student(session: Session, values: dict[str, Any]) -> None:
    """Add a student; one that is there already stays as it is."""
    upsert(session, StudentRow, [{**values, "created_at": utc_now()}])


def list_students(session: Session) -> list[StudentLine]:
    """Return all students, oldest first."""
    states = _states(list_promotions(session))
    rows = session.scalars(select(StudentRow).order_by(StudentRow.created_at, StudentRow.id))
    return [_line(row, states) for row in rows]


def student_line(session: Session, row: StudentRow) -> StudentLine:
    return _line(row, _states(list_promotions(session)))


def _line(row: StudentRow, states: dict[str, State]) -> StudentLine:
    network = str(row.training.get("settings", {}).get("network", ""))
    created_at = row.created_at.replace(tzinfo=UTC)
    return StudentLine(
        row.id,
        states.get(row.id, "candidate"),
        row.dataset,
        network,
        created_at,
        row.created_by,
        row.metrics,
    )


def _states(promotions: Iterable[StudentPromotionRow]) -> dict[str, State]:
    states: dict[str, State] = {}
    for row in promotions:
        for student_id in states:
            states[student_id] = "retired"
        states[row.student_id] = "current"
    return states


def list_promotions(session: Session) -> list[StudentPromotionRow]:
    """Return all changes of the student in use, oldest first."""
    return list(session.scalars(select(StudentPromotionRow).order_by(StudentPromotionRow.number)))


def current_student(session: Session) -> StudentRow | None:
    """Return the student in use; None: none was promoted."""
    last = select(StudentPromotionRow.student_id).order_by(StudentPromotionRow.number.desc()).limit(1)
    student_id = session.scalar(last)
    return session.get(StudentRow, student_id) if student_id else None


def previous_student(session: Session) -> str | None:
    """Return the id of the student that was in use before the current one; None: there was none.

    A rollback takes the last promotion back, so that two of them lead back two promotions.
    """
    in_use: list[str] = []
    for row in list_promotions(session):
        if row.action == "promote":
            in_use.append(row.student_id)
        else:
            in_use.pop()
    return in_use[-2] if len(in_use) > 1 else None


def student_of_dataset(session: Session, dataset: str) -> str | None:
    """Return the id of the student that was trained last on a version, NAME@2; None: there is none."""
    of_version = select(StudentRow.id).where(StudentRow.dataset == dataset)
    return session.scalar(of_version.order_by(StudentRow.created_at.desc(), StudentRow.id).limit(1))


def find_student(session: Session, text: str) -> StudentRow:
    """Return the student that `current`, `latest` or the first digits of an id stand for.

    Raises:
        ConfigError: there is none, or several have an id that starts like that.
    """
    if text == CURRENT:
        if (current := current_student(session)) is None:
            raise ConfigError(
                "no student was promoted yet: `maskmill student list` shows those that were trained, "
                "`maskmill student promote ID --on VERSION` promotes one"
            )
        return current
    found: list[StudentRow] = []
    if text == LATEST:
        newest = select(StudentRow).order_by(StudentRow.created_at.desc(), StudentRow.id).limit(1)
        found = list(session.scalars(newest))
    if _ID.fullmatch(text):
        found = list(session.scalars(select(StudentRow).where(StudentRow.id.startswith(text)).limit(2)))
    if not found:
        raise ConfigError(
            f"no student {text!r}: name `latest`, `current` or at least 6 digits of an id of `maskmill student list`"
        )
    if len(found) > 1:
        raise ConfigError(f"several students have an id that starts with {text!r}: use more digits")
    return found[0]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the student in use."""

    action: Literal["promote", "rollback"]
    made_by: str
    comparison: dict[str, Any] | None = None
    """With the student before; None: a rollback."""
    refusals: tuple[str, ...] = ()
    """Why the comparison was against it; a person overruled them."""
    reason: str | None = None


def add_change(session: Session, student_id: str, change: Change) -> None:
    """Make a student the current one."""
    last = select(StudentPromotionRow.number).order_by(StudentPromotionRow.number.desc()).limit(1)
    row = StudentPromotionRow(
        number=(session.scalar(last) or 0) + 1,
        student_id=student_id,
        action=change.action,
        comparison=change.comparison,
        refusals=list(change.refusals),
        reason=change.reason,
        made_at=utc_now(),
        made_by=change.made_by,
    )
    session.add(row)
    session.flush()
