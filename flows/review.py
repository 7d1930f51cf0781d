"""Frames to Label Studio, and people's words back."""

from pathlib import Path
from typing import Any

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from configs.models import Review as Settings
from db.review.annotations import projects_at
from db.runs.queries import latest_run
from flows.home import complete_if_no_run, existing_home, whole_path
from labeling.errors import DatabaseUnreachable, LabelStudioUnreachable
from labeling.storage.home import Home
from tasks.execution.database import database_of
from tasks.execution.leases import at_work
from tasks.review.connect import connect, secret_from_prefect
from tasks.review.pull import PullSummary, add_up, pull_project
from tasks.review.push import (
    Outbox,
    PushPlan,
    PushSummary,
    Sent,
    close_push,
    open_outbox,
    plan_push,
    push_batch,
)
from tasks.review.scores import score_models
from tasks.review.summary import publish_reviews

PAUSES_S = [1.0, 2, 4, 8, 15, 30, 30, 30]
"""Two minutes: a Label Studio that is started again needs less than one."""

LOCK = "review push or pull"
"""One at a time on a database: a push deletes tasks that a pull would take for deleted by people."""


def _may_pass(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Whether a failure is of a kind that time mends: a wrong token, for one, is not."""
    return isinstance(state.result(raise_on_failure=False), LabelStudioUnreachable | DatabaseUnreachable)


@flow(name="push-reviews", flow_run_name="push to Label Studio", persist_result=False)
@complete_if_no_run
def push_reviews(
    home: Path = Path(".maskmill"), run: str = "", settings: Settings | None = None, again: bool = False
) -> PushSummary:
    """Send the frames that a run wants reviewed to Label Studio, the most valuable first.

    Args:
        home: folder with the database and the images.
        run: id of the run, or its start; empty: the one that was worked on last.
        settings: how people are asked; none: as the run's config says.
        again: also frames whose task somebody deleted in Label Studio.
    """
    place = existing_home(whole_path(home, "home"))
    database = database_of(place)
    with database.session() as session:
        row = latest_run(session, run or None)
    settings = settings or Settings.model_validate(row.config.get("review", {}))
    with at_work(place, "push-reviews"), database.alone(LOCK):
        check_label_studio_task(place.root)
        plan, batches = plan_push_task(place.root, row.id, settings, again)
        sent = [push_batch_task(place.root, plan, settings, batch) for batch in batches]
        return close_push_task(place.root, plan, settings, sent)


@flow(name="pull-reviews", flow_run_name="pull from Label Studio", persist_result=False)
@complete_if_no_run
def pull_reviews(home: Path = Path(".maskmill")) -> PullSummary:
    """Take over what people said in Label Studio since the last time, and score every run by it.

    Args:
        home: folder with the database.
    """
    place = existing_home(whole_path(home, "home"))
    with at_work(place, "pull-reviews"), database_of(place).alone(LOCK):
        pulled = pull_task(place.root)
        score_task(place.root)
    return pulled


@task(name="check-studio", cache_policy=NO_CACHE, persist_result=False)
def check_label_studio_task(home: Path) -> None:
    """A wrong address or token is told at once, not after two minutes."""
    with connect(Home(home), secret_from_prefect) as (_, place):
        get_run_logger().info("Label Studio: %s", place.name)


@task(
    name="plan-push",
    retries=len(PAUSES_S),
    retry_delay_seconds=PAUSES_S,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def plan_push_task(
    home: Path, run_id: str, settings: Settings, again: bool
) -> tuple[PushPlan, list[list[int]]]:
    """`plan_push`, and the batches of frame ids, best first."""
    with connect(Home(home), secret_from_prefect) as (server, place):
        outbox = open_outbox(server, place, settings, Home(home))
        plan, batches = plan_push(outbox, run_id, again=again)
    get_run_logger().info("%s: %d frames to send", plan.url, sum(map(len, batches)))
    return plan, batches


@task(
    name="push-batch",
    retries=len(PAUSES_S),
    retry_delay_seconds=PAUSES_S,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def push_batch_task(home: Path, plan: PushPlan, settings: Settings, frame_ids: list[int]) -> Sent:
    """`push_batch`, tried again while Label Studio is away."""
    with connect(Home(home), secret_from_prefect) as (server, place):
        outbox = Outbox(server, place, settings, Home(home), plan.project_id, plan.number)
        sent = push_batch(outbox, plan.run_id, frame_ids)
    get_run_logger().info("%d of %d frames sent", sent.frames, len(frame_ids))
    for refused in sent.refused:
        get_run_logger().warning(refused)
    return sent


@task(
    name="close-push",
    retries=len(PAUSES_S),
    retry_delay_seconds=PAUSES_S,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def close_push_task(home: Path, plan: PushPlan, settings: Settings, sent: list[Sent]) -> PushSummary:
    """`close_push`."""
    with connect(Home(home), secret_from_prefect) as (server, place):
        outbox = Outbox(server, place, settings, Home(home), plan.project_id, plan.number)
        return close_push(outbox, plan, sent)


@task(
    name="pull-annotations",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def pull_task(home: Path) -> PullSummary:
    """`pull_project` for every project of ours in this Label Studio."""
    with connect(Home(home), secret_from_prefect) as (server, place):
        with database_of(Home(home)).session() as session:
            projects = projects_at(session, place.name)
        pulled = add_up([pull_project(server, project, Home(home)) for project in projects])
    for problem in pulled.problems:
        get_run_logger().warning(problem)
    return pulled


@task(name="score-truths", cache_policy=NO_CACHE, persist_result=False)
def score_task(home: Path) -> int:
    """`score_models`, with what reviews teach as a table artifact for each run that they are about."""
    if scored := score_models(Home(home)):
        publish_reviews(Home(home))
    return scored


if __name__ == "__main__":
    pull_reviews.serve("pull-reviews")
