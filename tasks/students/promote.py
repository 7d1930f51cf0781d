"""Make a student the current one, if it is better than the one before."""

from dataclasses import asdict, dataclass
from typing import Any

from configs.errors import ConfigError
from db.students.registry import (
    CURRENT,
    Change,
    StudentLine,
    add_change,
    current_student,
    find_student,
    student_line,
)
from db.students.rounds import RANDOM
from labeling.students.comparison import StudentComparison, find_refusals
from tasks.execution.context import Context
from tasks.students.compare import compare_named, resolve_student
from tasks.students.registry import LOCK, user_name


@dataclass(frozen=True, slots=True)
class PromotionOrder:
    """Which student to promote, and by what it is judged."""

    student: str
    on: str
    """Version of a dataset, or VERSION:SPLIT, whose frames the student was not trained on."""
    against: str | None = None
    """Student to compare with; None: the current one."""
    random: str | None = None
    """Student that learned from as many random frames: what it gains is stored beside; None: not measured."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Judgment:
    """A comparison, and why it forbids the promotion; no reason: it allows it."""

    student_id: str
    comparison: StudentComparison
    refusals: tuple[str, ...]
    random: StudentComparison | None = None
    """The student of random frames, compared with the same student."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A student that is the current one now."""

    student: StudentLine
    comparison: StudentComparison
    overruled: tuple[str, ...]
    """Refusals that the user overruled."""


def judge_student(context: Context, order: PromotionOrder) -> Judgment:
    """Compare a student with the current one, and its int8 file with itself.

    Raises:
        ConfigError: no such student or version, or there is no student to compare with.
    """
    with context.database.session() as session:
        student_id = find_student(session, order.student).id
        first = resolve_student(context, session, student_id)
        if order.against is None and current_student(session) is None:
            raise ConfigError(
                "no student was promoted yet: name the one that is in use now with --against, such as a preset or your "
                "config file"
            )
        second = resolve_student(context, session, order.against or CURRENT)
        int8 = resolve_student(context, session, f"{first.name}:int8")
        comparison = compare_named(context, session, (first, second, int8), order.on, seed=order.seed)
        random = order.random and compare_named(
            context,
            session,
            (resolve_student(context, session, order.random), second),
            order.on,
            seed=order.seed,
        )
    return Judgment(student_id, comparison, tuple(find_refusals(comparison)), random or None)


def promote_student(
    context: Context, judged: Judgment, *, force: str | None = None, made_by: str | None = None
) -> Promotion:
    """Make a judged student the current one. `force` is the reason why refusals are overruled, which is stored.

    Raises:
        ConfigError: the comparison refuses it, and no reason is given.
    """
    if judged.refusals and not force:
        reasons = "; ".join(judged.refusals)
        raise ConfigError(
            f"student {judged.student_id[:12]} is not promoted: {reasons}; to promote it all the same: --force 'REASON'"
        )
    with context.database.exclusive(LOCK), context.database.transaction() as session:
        compared = comparison_tree(judged.comparison)
        if judged.random:
            compared[RANDOM] = comparison_tree(judged.random)
        change = Change("promote", made_by or user_name(), compared, judged.refusals, force)
        add_change(session, judged.student_id, change)
        line = student_line(session, find_student(session, judged.student_id))
    return Promotion(line, judged.comparison, judged.refusals)


def comparison_tree(comparison: StudentComparison) -> dict[str, Any]:
    """Return a comparison as plain values."""
    return asdict(comparison)
