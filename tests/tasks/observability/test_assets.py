"""Assets of runs and exports, and their origins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from db.runs.writes import upsert_run
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of, open_context
from tasks.observability.assets import (
    MAX_VIDEOS,
    dataset_version,
    frames_asset,
    trace_dataset,
    trace_frames,
    video_asset,
)

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events passed to Prefect: its test server keeps none."""
    events: list[dict[str, Any]] = []

    def remember(event: str, resource: dict[str, str], **rest: Any) -> None:
        events.append({"event": event, "id": resource["prefect.resource.id"], **rest})

    monkeypatch.setattr("prefect.events.emit_event", remember)
    return events


def in_a_flow(what: Callable[[], None]) -> None:
    flow(name="test-lineage")(what)()


def made(events: list[dict[str, Any]]) -> dict[str, Any]:
    (event,) = (e for e in events if e["event"] == "prefect.asset.materialization.succeeded")
    return event


def test_a_run_names_its_first_videos_and_counts_the_others(emitted: list[dict[str, Any]]) -> None:
    videos = [video_asset(f"{n:064x}", "{braces}.mp4") for n in range(MAX_VIDEOS)]
    in_a_flow(lambda: trace_frames(frames_asset("ab", "{x}"), videos, {"hard": 3}, more_videos=7))
    event = made(emitted)
    assert event["id"] == "maskmill://runs/ab/frames"
    assert event["payload"] == {"hard": 3, "videos_not_named": 7}
    assert sum(r["prefect.resource.role"] == "asset" for r in event["related"]) == MAX_VIDEOS
    assert len([e for e in emitted if e["event"] == "prefect.asset.referenced"]) == MAX_VIDEOS


def test_a_dataset_comes_from_the_frames_of_its_run(emitted: list[dict[str, Any]], tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    with database_of(home).transaction() as session:
        upsert_run(session, "0123abcd", name="lite", config={}, code_version="test")
    (tmp_path / "coco").mkdir()
    in_a_flow(lambda: trace_dataset(open_context(home), None, tmp_path / "coco", {"frames": 4}))
    close_databases()
    event = made(emitted)
    assert event["id"] == f"maskmill://datasets/{dataset_version(tmp_path / 'coco')}"
    assert event["payload"] == {"frames": 4}
    assert event["related"][0]["prefect.resource.id"] == "maskmill://runs/0123abcd/frames"


def test_a_version_depends_on_labels_not_on_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    labels = tmp_path / "annotations" / "instances.json"
    labels.write_text("[1]")
    before = dataset_version(tmp_path)
    (tmp_path / "images" / "a.jpg").write_bytes(b"an image")
    assert dataset_version(tmp_path) == before
    labels.write_text("[2]")
    assert dataset_version(tmp_path) != before
    labels.write_text("[1]")
    labels.rename(labels.with_name("other.json"))
    assert dataset_version(tmp_path) != before
