"""Close a run: sum it up, mark it finished, score it; a Prefect task."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from db.runs.queries import RunSummary, latest_run, run_passed_over, summarize_run
from db.runs.writes import finish_run, given_as
from tasks.execution.context import Context
from tasks.review.scores import score_models


@dataclass(frozen=True, slots=True)
class Execution:
    """What one execution of a run was given and did; a summary leaves out what others did."""

    specs: Collection[str] = ()
    """Its sources, as they were given."""
    failed: Collection[str] = ()
    """Specs of the sources that failed in it."""
    videos: Collection[str] = ()
    """Ids of the videos and image sets that the other sources gave."""
    shards: Collection[int] = ()
    """Shards that it worked on."""


def close_run(context: Context, run_id: str, execution: Execution) -> RunSummary:
    """Sum a run up; if nothing is left to do, mark it finished; score it where there is a consensus.

    Failures, and what was not looked at, are those of this execution.
    """
    with context.database.transaction() as session:
        summary = summarize_run(session, latest_run(session, run_id))
        if not summary.shards_pending:
            finish_run(session, run_id, summary.counts)
        passed_over = run_passed_over(session, run_id, given_as(execution.specs, execution.videos))
    score_models(context)
    recent = (f for f in summary.failures if f.what in execution.failed or f.shard_id in execution.shards)
    return replace(
        summary,
        failures=tuple(recent),
        passed_over=passed_over,
        shards_worked=len(execution.shards),
        videos_given=len(execution.videos),
    )


close_run_task = task(name="close-run", cache_policy=NO_CACHE, persist_result=False)(close_run)
