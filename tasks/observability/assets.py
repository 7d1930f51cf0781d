"""Where a dataset comes from, as Prefect assets: videos -> a run's frames -> datasets.

Two or three events a run, whatever it looked at. Prefect's own server keeps them in its feed of events;
Prefect Cloud draws them as a graph.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.assets import Asset, AssetProperties, materialize
from prefect.cache_policies import NO_CACHE

from db.runs.queries import latest_run
from labeling.storage.home import Home
from tasks.execution.database import database_of
from tasks.observability.best_effort import log_prefect_errors

MOST_VIDEOS = 50
"""Named as origins of one run: an event takes 100 resources at most."""


def video_asset(video_id: str, title: str) -> Asset:
    return Asset(key=f"maskmill://videos/{video_id}", properties=AssetProperties(name=title))


def frames_asset(run_id: str, name: str) -> Asset:
    return Asset(key=f"maskmill://runs/{run_id}/frames", properties=AssetProperties(name=f"frames of {name}"))


def dataset_asset(version: str, folder: str) -> Asset:
    return Asset(key=f"maskmill://datasets/{version}", properties=AssetProperties(name=folder))


def trace_frames(
    frames: Asset, videos: Sequence[Asset], counts: Mapping[str, int], *, more_videos: int = 0
) -> None:
    """Say that a run made frames of these videos, and of so many that are not named."""
    _trace(frames, videos, dict(counts) | ({"videos_not_named": more_videos} if more_videos else {}))


def trace_dataset(home: Home, run_id: str | None, folder: Path, counts: Mapping[str, int]) -> None:
    """Say that a run's frames were written as the dataset in this folder, where Prefect takes it.

    Args:
        run_id: of the run, or its start; None: the one that was worked on last.
        counts: of frames and instances.
    """
    with log_prefect_errors(f"the lineage of {folder} is not shown"):
        with database_of(home).session() as session:
            run = latest_run(session, run_id)
        _trace(dataset_asset(dataset_version(folder), folder.name), [frames_asset(run.id, run.name)], counts)


def dataset_version(folder: Path) -> str:
    """16 hexadecimal digits of the labels in a folder: the same labels are the same version.

    Images below `images/` are left out: labels name them, and they are named by their content.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = path.relative_to(folder)
        if place.parts[0] != "images":
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{place.as_posix()}\0{content}\n".encode())
    return digest.hexdigest()[:16]


def _trace(made: Asset, origins: Sequence[Asset], facts: Mapping[str, Any]) -> None:
    @materialize(
        made,
        by="maskmill",
        name="trace-lineage",
        task_run_name=lambda: f"trace {made.key}",
        asset_deps=list(origins),
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def trace() -> None:
        made.add_metadata(dict(facts))

    trace()
