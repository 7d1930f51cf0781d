"""Publish a run in Prefect: its failures in the log, its result as artifacts, lineage and events."""

from prefect.logging import get_run_logger

from db.runs.overview import count_for_people, title_of, video_works
from db.runs.queries import RunSummary
from tasks.execution.context import Context
from tasks.observability.artifacts import show_run
from tasks.observability.assets import MAX_VIDEOS, frames_asset, trace_frames, video_asset
from tasks.observability.best_effort import has_server, log_prefect_errors
from tasks.observability.events import emit_run_events

MAX_LOGGED = 100
"""Logged failures of one run."""


def publish_run(context: Context, summary: RunSummary) -> None:
    """Log the failures of a run, and show its result in Prefect as far as Prefect accepts it.

    An execution that changed nothing creates no artifacts.
    """
    for failure in summary.failures[:MAX_LOGGED]:
        get_run_logger().warning("%s: %s: %s", failure.what, failure.code, failure.message)
    if not has_server():
        return
    with log_prefect_errors(f"run {summary.run_id} is not shown in full"):
        with context.database.session() as session:
            waiting = count_for_people(session, summary.run_id)
            works = video_works(session, summary.run_id)
            if summary.shards_worked or summary.failures:
                show_run(session, summary, works, context.home)
            named = works[:MAX_VIDEOS]
            videos = [video_asset(work.video_id, title_of(session, work.video_id)) for work in named]
        if summary.shards_worked:
            frames = frames_asset(summary.run_id, summary.name)
            trace_frames(frames, videos, summary.counts, more_videos=len(works) - len(videos))
        emit_run_events(summary, waiting=waiting)
