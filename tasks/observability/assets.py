"""The lineage of a dataset as Prefect assets: videos -> a run's frames -> datasets.

A run emits two or three events, whatever its size. Prefect's own server shows them in its event feed;
Prefect Cloud draws them as a graph.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.assets import Asset, AssetProperties, materialize
from prefect.cache_policies import NO_CACHE

from db.runs.queries import latest_run
from tasks.execution.context import Context
from tasks.observability.best_effort import log_prefect_errors

MAX_VIDEOS = 50
"""Videos named as origins of one run: an event takes at most 100 resources."""


def video_asset(video_id: str, title: str) -> Asset:
    return Asset(key=f"maskmill://videos/{video_id}", properties=AssetProperties(name=title))


def frames_asset(run_id: str, name: str) -> Asset:
    return Asset(key=f"maskmill://runs/{run_id}/frames", properties=AssetProperties(name=f"frames of {name}"))


def dataset_asset(version: str, folder: str) -> Asset:
    return Asset(key=f"maskmill://datasets/{version}", properties=AssetProperties(name=folder))


def trace_frames(
    frames: Asset, videos: Sequence[Asset], counts: Mapping[str, int], *, more_videos: int = 0
) -> None:
    """Record that a run made frames of these videos, and of `more_videos` that are not named."""
    _trace(frames, videos, dict(counts) | ({"videos_not_named": more_videos} if more_videos else {}))


def trace_dataset(context: Context, run_id: str | None, folder: Path, counts: Mapping[str, int]) -> None:
    """Record that a run's frames were written as the dataset in `folder`, if Prefect accepts it.

    Args:
        run_id: id of the run, or its beginning; None: the last run.
        counts: of frames and instances.
    """
    with log_prefect_errors(f"the lineage of {folder} is not recorded"):
        with context.database.session() as session:
            run = latest_run(session, run_id)
        _trace(dataset_asset(dataset_version(folder), folder.name), [frames_asset(run.id, run.name)], counts)


def dataset_version(folder: Path) -> str:
    """Return 16 hexadecimal digits that identify the labels in a folder.

    Images below `images/` are left out: the labels name them by their content.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        relative = path.relative_to(folder)
        if relative.parts[0] != "images":
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{relative.as_posix()}\0{content}\n".encode())
    return digest.hexdigest()[:16]


def _trace(asset: Asset, origins: Sequence[Asset], metadata: Mapping[str, Any]) -> None:
    @materialize(
        asset,
        by="maskmill",
        name="trace-lineage",
        task_run_name=lambda: f"trace {asset.key}",
        asset_deps=list(origins),
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def trace() -> None:
        asset.add_metadata(dict(metadata))

    trace()
