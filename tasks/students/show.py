"""What is known about a student, for `maskmill student show`."""

from dataclasses import dataclass

from db.models.students import StudentPromotionRow
from db.students.registry import StudentLine, find_student, list_promotions, student_line
from tasks.execution.context import Context


@dataclass(frozen=True, slots=True)
class PromotionLine:
    """A time at which it became the current student."""

    action: str
    text: str


@dataclass(frozen=True, slots=True)
class StudentDetails:
    """A student with its history."""

    student: StudentLine
    folder: str
    snapshot_id: str
    training: dict[str, object]
    promotions: tuple[PromotionLine, ...]


def describe_student(context: Context, text: str) -> StudentDetails:
    """Return the details of a student; ConfigError if there is none."""
    with context.database.session() as session:
        row = find_student(session, text)
        promotions = tuple(_line(one) for one in list_promotions(session) if one.student_id == row.id)
        return StudentDetails(
            student_line(session, row),
            str(context.home.absolute(row.folder)),
            row.snapshot_id,
            row.training,
            promotions,
        )


def _line(row: StudentPromotionRow) -> PromotionLine:
    parts = [f"{row.made_at:%Y-%m-%d %H:%M} UTC by {row.made_by}"]
    if row.comparison:
        parts.append(f"against {row.comparison['second']} on {row.comparison['on']}")
    if row.refusals:
        parts.append(f"overruled: {'; '.join(row.refusals)}")
    if row.reason:
        parts.append(f"because: {row.reason}")
    return PromotionLine(row.action, ", ".join(parts))
