"""A run's end: its counts in the ledger, its numbers in words and as an artifact."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from httpx import HTTPError
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from db.ledger import finish_run
from db.queries import RunSummary, latest_run, summarise_run
from labeling.storage import Home
from tasks.ledger import ledger_of
from tasks.scores import score_truths


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made."""

    summary: RunSummary
    video: Path
    coco: Path
    report: Path


def close_run(
    run_id: str, home: Home, *, failed_specs: Collection[str] = (), shards: Collection[int] = ()
) -> RunSummary:
    """Sum a run up and, if nothing is left to do, mark it finished; score it where people know better.

    The failures are those of this time: of the sources `failed_specs` and of the `shards` worked on.
    """
    ledger = ledger_of(home)
    with ledger.transaction() as session:
        summary = summarise_run(session, latest_run(session, run_id))
        if not summary.shards_pending:
            finish_run(session, run_id, summary.counts)
    score_truths(home)
    of_this_time = (f for f in summary.failures if f.what in failed_specs or f.shard_id in shards)
    return replace(summary, failures=tuple(of_this_time), shards_worked=len(shards))


def summary_sentence(summary: RunSummary) -> str:
    """What a run found, for a person.

    >>> summary_sentence(RunSummary("ab", "lite", 1, 0, 1, 0, {"looked_at": 9, "compared": 8, "hard": 3,
    ...     "accepted": 1, "review": 2}, {}, ()))
    'Of 9 frames looked at in 1 video, 8 were compared: the student got 3 wrong. The teacher is trusted on 1 of them; 2 wait for review.'
    """
    counts = summary.counts
    where = _count(summary.videos, "video") if summary.videos or not summary.pictures else ""
    if summary.pictures:
        where += (" and " if where else "") + _count(summary.pictures, "picture")
    return (
        f"Of {_count(counts.get('looked_at', 0), 'frame')} looked at in {where}, "
        f"{counts.get('compared', 0)} were compared: the student got {counts.get('hard', 0)} wrong. "
        f"The teacher is trusted on {counts.get('accepted', 0)} of them; "
        f"{counts.get('review', 0)} wait for review."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def summary_markdown(summary: RunSummary) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in summary.counts.items())
    failures = "\n".join(f"- `{f.what}`: **{f.code}**: {f.message}" for f in summary.failures)
    failed = f"\n\n## Failed\n\n{failures}" if failures else ""
    return f"# Run {summary.run_id} ({summary.name})\n\n{summary_sentence(summary)}\n\n| frames | |\n|---|---|\n{rows}{failed}\n"


@task(name="close-run", cache_policy=NO_CACHE, persist_result=False)
def close_run_task(run_id: str, home: Path, failed_specs: list[str], shards: list[int]) -> RunSummary:
    """`close_run`, with the summary as an artifact on the run's page where Prefect takes it."""
    summary = close_run(run_id, Home(home), failed_specs=failed_specs, shards=shards)
    try:
        create_markdown_artifact(key=f"run-{run_id}", markdown=summary_markdown(summary))
    except (HTTPError, PrefectException) as exc:  # the ledger has it all: the run is done
        get_run_logger().warning("run %s has no artifact: %s: %s", run_id, type(exc).__name__, exc)
    return summary
