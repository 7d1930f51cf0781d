"""Where a dataset comes from, as Prefect assets: videos -> a run's frames -> datasets.

Two or three events a run, whatever it looked at. Prefect's own server keeps them in its feed of events;
Prefect Cloud draws them as a graph.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.assets import Asset, AssetProperties, materialize
from prefect.cache_policies import NO_CACHE

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


def trace_dataset(dataset: Asset, frames: Asset, facts: Mapping[str, Any]) -> None:
    """Say that a dataset was written of a run's frames."""
    _trace(dataset, [frames], dict(facts))


def _trace(made: Asset, origins: Sequence[Asset], facts: dict[str, Any]) -> None:
    @materialize(
        made,
        by="maskmill",
        name="trace-lineage",
        asset_deps=list(origins),
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def trace() -> None:
        made.add_metadata(facts)

    trace()
