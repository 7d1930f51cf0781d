"""A run's end: its counts in the ledger, its numbers in words and before those who watch."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from db.runs.overview import count_for_people, title_of, video_works
from db.runs.queries import RunSummary, latest_run, summarize_run
from db.runs.writes import finish_run
from labeling.storage.home import Home
from labeling.text.figures import count, count_of
from tasks.execution.database import database_of
from tasks.observability.artifacts import show_run
from tasks.observability.assets import MOST_VIDEOS, frames_asset, trace_frames, video_asset
from tasks.observability.best_effort import is_watched, log_prefect_errors
from tasks.observability.events import emit_run_events
from tasks.review.scores import score_models

MOST_LOGGED = 100
"""Failures of one run."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made."""

    summary: RunSummary
    video: Path
    coco: Path
    report: Path


def close_run(
    run_id: str,
    home: Home,
    *,
    failed_specs: Collection[str] = (),
    shards: Collection[int] = (),
    videos_given: int = 0,
) -> RunSummary:
    """Sum a run up and, if nothing is left to do, mark it finished; score it where people know better.

    The failures are those of this time: of the sources `failed_specs` and of the `shards` worked on. The other
    sources gave so many videos and sets of images.
    """
    database = database_of(home)
    with database.transaction() as session:
        summary = summarize_run(session, latest_run(session, run_id))
        if not summary.shards_pending:
            finish_run(session, run_id, summary.counts)
    score_models(home)
    of_this_time = (f for f in summary.failures if f.what in failed_specs or f.shard_id in shards)
    return replace(
        summary, failures=tuple(of_this_time), shards_worked=len(shards), videos_given=videos_given
    )


def summary_sentence(summary: RunSummary) -> str:
    """What a run found, for a person.

    >>> summary_sentence(RunSummary("ab", "lite", 1, 0, 1, 0, {"looked_at": 9, "compared": 8, "hard": 3,
    ...     "accepted": 1, "review": 2}, {}, ()))
    'Of 9 frames looked at in 1 video, 8 were compared: the student got 3 wrong. The teacher is trusted on 1 of them; 2 wait for review.'
    """
    counts = summary.counts
    where = count_of(summary.videos, "video") if summary.videos or not summary.images else ""
    if summary.images:
        where += (" and " if where else "") + count_of(summary.images, "image")
    return (
        f"Of {count_of(counts.get('looked_at', 0), 'frame')} looked at in {where}, "
        f"{count(counts.get('compared', 0))} were compared: the student got {count(counts.get('hard', 0))} wrong. "
        f"The teacher is trusted on {count(counts.get('accepted', 0))} of them; "
        f"{count(counts.get('review', 0))} wait for review."
    )


@task(name="close-run", cache_policy=NO_CACHE, persist_result=False)
def close_run_task(
    run_id: str, home: Path, failed_specs: list[str], shards: list[int], videos_given: int = 0
) -> RunSummary:
    """`close_run`."""
    return close_run(run_id, Home(home), failed_specs=failed_specs, shards=shards, videos_given=videos_given)


def publish_run(summary: RunSummary, home: Home) -> None:
    """Show a run on its page and tell automations, where Prefect takes it: the ledger has it all."""
    for failure in summary.failures[:MOST_LOGGED]:
        get_run_logger().warning("%s: %s: %s", failure.what, failure.code, failure.message)
    if not is_watched():
        return
    with log_prefect_errors(f"run {summary.run_id} is not shown in full"):
        _publish(summary, summary_sentence(summary), home)


def _publish(summary: RunSummary, sentence: str, home: Home) -> None:
    """What nothing new is known of is not drawn again."""
    with database_of(home).session() as session:
        waiting = count_for_people(session, summary.run_id)
        works = video_works(session, summary.run_id)
        if summary.shards_worked or summary.failures:
            show_run(session, summary, works, sentence, home)
        named = works[:MOST_VIDEOS]
        videos = [video_asset(work.video_id, title_of(session, work.video_id)) for work in named]
    if summary.shards_worked:
        frames = frames_asset(summary.run_id, summary.name)
        trace_frames(frames, videos, summary.counts, more_videos=len(works) - len(videos))
    emit_run_events(summary, sentence, waiting=waiting)
