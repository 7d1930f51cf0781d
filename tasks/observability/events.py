"""Prefect events of a run, with which automations start the next step or notify people."""

from collections.abc import Iterator
from contextlib import suppress

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound

from db.models.core import content_id
from db.runs.queries import Failure, RunSummary
from labeling.sources.titles import source_title
from tasks.observability.best_effort import log_prefect_errors
from tasks.run_figures import sentence_of

RUN_FINISHED = "maskmill.run.finished"
REVIEW_WAITING = "maskmill.review.waiting"
SOURCE_FAILED = "maskmill.source.failed"

MAX_SOURCE_EVENTS = 100
"""Failed sources with an event of their own: a list of a thousand dead links is one problem."""

PUSH_FLOW = "push-reviews"


def emit_run_events(summary: RunSummary, *, waiting: int) -> None:
    """Emit the events of a run's end. Prefect adds the flow run and its deployment.

    Args:
        waiting: frames that wait for review.
    """
    run = {
        "prefect.resource.id": f"maskmill.run.{summary.run_id}",
        "prefect.resource.name": f"{summary.name} {summary.run_id}",
    }
    with log_prefect_errors(f"run {summary.run_id} triggers no automation"):
        failed_sources = [failure for failure in summary.failures if failure.shard_id is None]
        for failure in failed_sources[:MAX_SOURCE_EVENTS]:
            _emit_failure(failure, run)
        if waiting:
            emit_event(REVIEW_WAITING, run, payload={"frames": waiting}, related=list(_push_deployment()))
        emit_event(
            RUN_FINISHED,
            run,
            payload={
                "summary": sentence_of(summary),
                "counts": summary.counts,
                "seconds": summary.seconds,
                "shards_worked": summary.shards_worked,
                "shards_left": summary.shards_pending,
                "failures": len(summary.failures),
            },
        )


def _emit_failure(failure: Failure, run: dict[str, str]) -> None:
    emit_event(
        SOURCE_FAILED,
        {
            "prefect.resource.id": f"maskmill.source.{content_id('source', failure.what)}",
            "prefect.resource.name": source_title(failure.what),
            "maskmill.code": failure.code,
        },
        related=[run | {"prefect.resource.role": "run"}],
        payload={
            "source": failure.what,
            "code": failure.code,
            "message": failure.message,
            "retryable": failure.retryable,
        },
    )


def _push_deployment() -> Iterator[dict[str, str]]:
    """Yield the push deployment with the same name as the current one: an automation then needs no id."""
    if not (name := runtime.deployment.name):
        return
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        deployment = client.read_deployment_by_name(f"{PUSH_FLOW}/{name}")
        yield {
            "prefect.resource.id": f"prefect.deployment.{deployment.id}",
            "prefect.resource.role": PUSH_FLOW,
            "prefect.resource.name": f"{PUSH_FLOW}/{name}",
        }
