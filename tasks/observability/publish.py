"""Publish a run in Prefect: how it was made in its log, its result as artifacts, lineage and events."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import yaml
from prefect.logging import get_run_logger

from configs.models import RunConfig
from db.runs.overview import count_for_people, title_of, video_works
from db.runs.queries import RunSummary
from labeling.refinement.protocol import refiners_in
from labeling.sources.url_policy import redact_text
from labeling.structures.instances import ModelCard
from tasks.execution.context import Context
from tasks.observability.artifacts import show_run
from tasks.observability.assets import MAX_VIDEOS, frames_asset, trace_frames, video_asset
from tasks.observability.best_effort import has_server, log_prefect_errors
from tasks.observability.events import emit_run_events

MAX_LOGGED = 100
"""Logged failures of one run."""

LIBRARIES = (
    "maskmill",
    "prefect",
    "numpy",
    "av",
    "opencv-python-headless",
    "pycocotools",
    "torch",
    "torchvision",
    "onnxruntime",
    "ai-edge-litert",
)
"""Libraries that influence the masks, and Prefect; some are extras."""


def describe_run(config: RunConfig, cards: Mapping[str, ModelCard]) -> str:
    """Describe how to reproduce a run: versions, models with the SHA-256 of their weights, the config as YAML.

    A config names the variables that hold secrets, never the secrets.
    """
    versions = ", ".join(f"{library} {number}" for library, number in _installed_versions().items())
    models = [
        f"{role}: {card.kind}:{card.name}, "
        + (f"weights sha256 {card.weights_sha256}" if card.weights_sha256 else "no weights")
        + "".join(f", refined by {label}" for label in refiners_in(card.settings))
        for role, card in cards.items()
    ]
    tree = config.model_dump(mode="json", exclude={"schedules"})
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).rstrip()
    head = f"run {config.run_id()} on {versions}"
    return redact_text("\n".join([head, *models, "config (for `maskmill run --config FILE`):", text]))


def _installed_versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


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
