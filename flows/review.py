"""The flows that send frames to review in Label Studio and take over the annotations, with their tasks.

Without a permanent Prefect server, `call_flow` runs them without Prefect: no one could watch them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_chain, wait_fixed

from configs.errors import DatabaseUnreachable, LabelStudioUnreachable
from configs.models import Review as Settings
from db.review.annotations import all_projects, projects_at
from db.runs.queries import latest_run
from flows.home import Parameters, Result, complete_if_nothing_to_do, existing_context, whole_path
from labeling.review.label_studio.credentials import find_credentials
from labeling.review.label_studio.http import QUICK
from tasks.execution.context import Context
from tasks.execution.direct import in_flow_run, run_logger
from tasks.execution.leases import hold_lease
from tasks.observability.artifacts import show_reviews
from tasks.review.connect import connect, secret_from_prefect
from tasks.review.propagate import PropagationSummary, propagate_reviews
from tasks.review.pull import PullSummary, pull_project, sum_pulls
from tasks.review.push import (
    Outbox,
    PushPlan,
    PushSummary,
    SentBatch,
    close_push,
    open_outbox,
    plan_push,
    push_batch,
)
from tasks.review.scores import score_models

PAUSES_S = [1.0, 2, 4, 8, 15, 30, 30, 30]
"""Two minutes in total: a restart of Label Studio takes less than one."""

LOCK = "review push or pull"
"""One at a time per database: a pull would take tasks deleted by a push for tasks deleted by a person."""


TEMPORARY = (LabelStudioUnreachable, DatabaseUnreachable)
"""Errors that may pass; a wrong token, for example, does not."""


def _may_recover(_task: Any, _run: Any, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), TEMPORARY)


def _review_task(
    name: str, pauses_s: list[float] = PAUSES_S
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Make a function a task that is repeated after a temporary failure, with these pauses.

    Outside a flow run it is repeated in the same way, without Prefect.
    """

    def wrap(work: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        observed = task(
            name=name,
            retries=len(pauses_s),
            retry_delay_seconds=pauses_s,
            retry_condition_fn=_may_recover,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(work)
        repeated = Retrying(
            retry=retry_if_exception_type(TEMPORARY),
            stop=stop_after_attempt(1 + len(pauses_s)),
            wait=wait_chain(*map(wait_fixed, pauses_s or [0.0])),
            reraise=True,
        )

        @wraps(work)
        def step(*args: Parameters.args, **named: Parameters.kwargs) -> Result:
            return observed(*args, **named) if in_flow_run() else repeated(work, *args, **named)

        return step

    return wrap


@flow(name="push-reviews", flow_run_name="push to Label Studio", persist_result=False)
@complete_if_nothing_to_do
def push_reviews(
    home: Path = Path(".maskmill"), run: str = "", settings: Settings | None = None, again: bool = False
) -> PushSummary:
    """Send the frames of a run that require review to Label Studio, highest priority first.

    Args:
        home: folder with the database and the images.
        run: id of the run, or its beginning; empty: the last run.
        settings: how frames are reviewed; none: as the run's config says.
        again: also send frames whose task a person deleted in Label Studio.
    """
    context = existing_context(whole_path(home, "home"))
    with context.database.session() as session:
        row = latest_run(session, run or None)
    find_credentials(context.home.root, look_up=secret_from_prefect)  # before a task that would fail
    settings = settings or Settings.model_validate(row.config.get("review", {}))
    with hold_lease(context.home, "push-reviews"), context.database.exclusive(LOCK):
        check_label_studio_task(context)
        plan = plan_push_task(context, row.id, settings, again)
        sent = [push_batch_task(context, plan, settings, batch) for batch in plan.batches]
        return close_push_task(context, plan, settings, sent)


@flow(name="pull-reviews", flow_run_name="pull from Label Studio", persist_result=False)
@complete_if_nothing_to_do
def pull_reviews(home: Path = Path(".maskmill")) -> PullSummary:
    """Take over the annotations made in Label Studio since the last pull, and score every run against them.

    The masks of reviewed frames are carried to the frames near them.

    Args:
        home: folder with the database.
    """
    context = existing_context(whole_path(home, "home"))
    find_credentials(context.home.root, look_up=secret_from_prefect)  # before a task that would fail
    with hold_lease(context.home, "pull-reviews"), context.database.exclusive(LOCK):
        check_label_studio_task(context)
        pulled = pull_task(context)
        propagated = propagate_task(context)
        score_task(context)
    return replace(pulled, propagation=propagated)


@_review_task("check-label-studio", pauses_s=[])
def check_label_studio_task(context: Context) -> None:
    """Connect once without retries, so that an unreachable server or a wrong token is reported at once."""
    with connect(context.home, QUICK) as connection:
        run_logger().info("Label Studio: %s", connection.name)


@_review_task("plan-push")
def plan_push_task(context: Context, run_id: str, settings: Settings, again: bool) -> PushPlan:
    """Run `plan_push`, retried while Label Studio is unreachable."""
    with connect(context.home) as connection:
        plan = plan_push(open_outbox(context, connection, settings, run_id), run_id, again=again)
    run_logger().info("%s: %d frames to send", plan.summary.url, sum(map(len, plan.batches)))
    return plan


@_review_task("push-batch")
def push_batch_task(context: Context, plan: PushPlan, settings: Settings, frame_ids: list[int]) -> SentBatch:
    """Run `push_batch`, retried while Label Studio is unreachable."""
    with connect(context.home) as connection:
        sent = push_batch(
            Outbox(context, connection, settings, *plan.project), plan.summary.run_id, frame_ids
        )
    run_logger().info("%d of %d frames sent", sent.frames, len(frame_ids))
    for refused in sent.refused:
        run_logger().warning(refused)
    return sent


@_review_task("close-push")
def close_push_task(
    context: Context, plan: PushPlan, settings: Settings, sent: list[SentBatch]
) -> PushSummary:
    """Run `close_push`, retried while Label Studio is unreachable."""
    with connect(context.home) as connection:
        return close_push(Outbox(context, connection, settings, *plan.project), plan, sent)


@_review_task("pull-annotations", pauses_s=[5.0, 5])
def pull_task(context: Context) -> PullSummary:
    """Run `pull_project` for each of our projects in this Label Studio."""
    with connect(context.home) as connection:
        with context.database.session() as session:
            projects = projects_at(session, connection.name)
        pulled = sum_pulls([pull_project(context, connection.server, project) for project in projects])
    for problem in pulled.problems:
        run_logger().warning(problem)
    return pulled


@_review_task("propagate-masks", pauses_s=[])
def propagate_task(context: Context) -> PropagationSummary:
    """Run `propagate_reviews` for all projects of this home."""
    with context.database.session() as session:
        projects = all_projects(session)
    propagated = propagate_reviews(context, projects)
    for problem in propagated.problems:
        run_logger().warning(problem)
    return propagated


@_review_task("score-models", pauses_s=[])
def score_task(context: Context) -> int:
    """Run `score_models`; if anything was scored, show the review results as table artifacts."""
    if (scored := score_models(context)) and in_flow_run():
        show_reviews(context)
    return scored


if __name__ == "__main__":
    pull_reviews.serve("pull-reviews")
