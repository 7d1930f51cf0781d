"""What happened in a run, as Prefect events: automations start what comes next, or tell somebody."""

from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound

from db.models.core import content_id
from db.runs.queries import Failure, RunSummary
from labeling.sources.titles import source_title
from tasks.observability.best_effort import log_prefect_errors

RUN_FINISHED = "maskmill.run.finished"
REVIEW_WAITING = "maskmill.review.waiting"
SOURCE_FAILED = "maskmill.source.failed"

MOST_EVENTS = 100
"""Of failed sources in one run: a list of a thousand dead links is one problem; `run.finished` counts them all."""

PUSH_FLOW = "push-reviews"


def emit_run_events(summary: RunSummary, sentence: str, *, waiting: int) -> None:
    """Emit what a run's end means for others. Prefect adds the flow run and its deployment.

    Args:
        waiting: frames that wait for a person.
    """
    run = run_resource(summary)
    with log_prefect_errors(f"run {summary.run_id} is told to no automation"):
        for failure in _of_sources(summary.failures):
            _tell_of_source(failure, run)
        if waiting:
            emit_event(REVIEW_WAITING, run, payload={"frames": waiting}, related=_push_deployment())
        emit_event(
            RUN_FINISHED,
            run,
            payload={
                "summary": sentence,
                "counts": summary.counts,
                "seconds": summary.seconds,
                "shards_worked": summary.shards_worked,
                "shards_left": summary.shards_pending,
                "failures": len(summary.failures),
            },
        )


def run_resource(summary: RunSummary) -> dict[str, str]:
    return {
        "prefect.resource.id": f"maskmill.run.{summary.run_id}",
        "prefect.resource.name": f"{summary.name} {summary.run_id}",
    }


def _of_sources(failures: Iterable[Failure]) -> list[Failure]:
    return [failure for failure in failures if failure.shard_id is None][:MOST_EVENTS]


def _tell_of_source(failure: Failure, run: dict[str, str]) -> None:
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


def _push_deployment() -> list[dict[str, str]]:
    """The deployment that sends frames to review, of the same name as the one that runs here: an
    automation then needs no id of it."""
    name = runtime.deployment.name
    deployment_id = _id_of(f"{PUSH_FLOW}/{name}") if name else None
    if deployment_id is None:
        return []
    role = {"prefect.resource.role": PUSH_FLOW, "prefect.resource.name": f"{PUSH_FLOW}/{name}"}
    return [{"prefect.resource.id": f"prefect.deployment.{deployment_id}"} | role]


def _id_of(deployment: str) -> UUID | None:
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        return client.read_deployment_by_name(deployment).id
    return None
