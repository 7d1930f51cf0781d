"""Close a run: sum it up, mark it finished, score it; a Prefect task."""

from collections.abc import Collection
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from db.runs.queries import RunSummary, latest_run, summarize_run
from db.runs.writes import finish_run
from tasks.execution.context import Context
from tasks.review.scores import score_models


def close_run(
    context: Context,
    run_id: str,
    *,
    failed_specs: Collection[str] = (),
    shards: Collection[int] = (),
    videos_given: int = 0,
) -> RunSummary:
    """Sum a run up; if nothing is left to do, mark it finished; score it where there is a consensus.

    Args:
        failed_specs: sources that failed in this execution.
        shards: shards that this execution worked on; other failures are left out of the summary.
        videos_given: videos and image sets that the other sources gave.
    """
    with context.database.transaction() as session:
        summary = summarize_run(session, latest_run(session, run_id))
        if not summary.shards_pending:
            finish_run(session, run_id, summary.counts)
    score_models(context)
    recent = (f for f in summary.failures if f.what in failed_specs or f.shard_id in shards)
    return replace(summary, failures=tuple(recent), shards_worked=len(shards), videos_given=videos_given)


close_run_task = task(name="close-run", cache_policy=NO_CACHE, persist_result=False)(close_run)
