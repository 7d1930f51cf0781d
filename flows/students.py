"""The flow that promotes a student, with a person's approval."""

from pathlib import Path
from typing import Literal

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import deployment

from configs.errors import ConfigError
from flows.home import existing_context, whole_path
from tasks.execution.context import Context
from tasks.students.promote import Judgment, Promotion, PromotionOrder, judge_student, promote_student

WAIT_S = 7 * 24 * 3600
"""How long a run waits for an approval."""
POLL_S = 2
"""How often a paused run asks whether it was resumed."""


class Approval(RunInput):
    """What a person decides about a student."""

    decision: Literal["promote", "keep the current one"]
    approved_by: str
    overrule_because: str = ""
    """Why the reasons against it do not count; required if there are any."""


@flow(name="promote-student", flow_run_name="promote {student}", persist_result=False)
def promote_student_flow(
    student: str,
    on: str,
    against: str | None = None,
    home: Path = Path(".maskmill"),
    *,
    random: str | None = None,
    needs_approval: bool = True,
) -> Promotion | None:
    """Compare a student with the current one, wait for a person's approval, and make it the current one.

    A run of a deployment is suspended meanwhile: it uses no machine, and starts again when it is resumed. Any other
    run is paused.

    Args:
        student: the first digits of its id.
        on: version of a dataset, or VERSION:SPLIT.
        against: student to compare with; None: the current one.
        home: folder with the networks, and the database unless MASKMILL_DATABASE_URL names another.
        random: student that learned from as many random frames, whose gain is stored beside; None: not measured.
        needs_approval: False: what the comparison allows is promoted at once, and what it refuses is an error.

    Returns:
        The promotion; None: a person kept the current student.
    """
    context = existing_context(whole_path(home, "home"))
    judged = judge_student_task(context, PromotionOrder(student, on, against, random))
    get_run_logger().info("%s", _describe(judged))
    if not needs_approval:
        return promote_student(context, judged)
    approval = _wait_for_approval(judged)
    if approval.decision != "promote":
        get_run_logger().info("%s keeps the current student", approval.approved_by)
        return None
    if not approval.approved_by.strip():
        raise ConfigError("approved_by is empty: say who approves")
    return promote_student(
        context, judged, force=approval.overrule_because.strip() or None, made_by=approval.approved_by
    )


@task(name="judge-student", cache_policy=NO_CACHE, persist_result=False)
def judge_student_task(context: Context, order: PromotionOrder) -> Judgment:
    """Compare; see `tasks.students.promote.judge_student`."""
    return judge_student(context, order)


def _wait_for_approval(judged: Judgment) -> Approval:
    asked = Approval.with_initial_data(description=_describe(judged))
    if deployment.id:
        return suspend_flow_run(wait_for_input=asked, timeout=WAIT_S)
    return pause_flow_run(wait_for_input=asked, timeout=WAIT_S, poll_interval=POLL_S)


def _describe(judged: Judgment) -> str:
    """Return the comparison in Markdown, for the form of the approval."""
    found, total = judged.comparison, judged.comparison.total
    lines = [
        f"Student {judged.student_id[:12]} against {found.second} on {found.on}: mean IoU {total.iou[0]:.3f} against "
        f"{total.iou[1]:.3f}, boundary IoU {total.boundary_iou[0]:.3f} against {total.boundary_iou[1]:.3f}.",
        *(f"- Against it: {reason}" for reason in judged.refusals),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    promote_student_flow.serve("promote-student")
