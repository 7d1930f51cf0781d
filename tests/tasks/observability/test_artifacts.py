"""Artifacts of runs whose frames are all known, and runs whose artifacts Prefect refuses."""

import json
import logging
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import Artifact

from db.models.core import ShardRow
from db.runs.overview import VideoWork, count_for_people, shards_ended, title_of_shard, video_works
from db.runs.queries import RunSummary, latest_run, planned_shards, summarize_run
from db.runs.writes import fail_shard
from flows.generate import generate_dataset
from labeling.errors import ModelError
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of, open_context
from tasks.ingest import ingest_spec
from tasks.observability.artifacts import MAX_ROWS, run_sections, table_rows
from tasks.observability.progress import show_progress
from tests.fakes.videos import write_numbered_video
from tests.flows.scripted_runs import HALF, WHOLE, scripted_config

pytestmark = pytest.mark.usefixtures("prefect")

DOUBTFUL = {"boxes": [WHOLE], "score": 0.4}
"""All that is hard goes to review."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home((tmp_path / "home").resolve())
    close_databases()


def video(folder: Path, name: str, frames: int = 30) -> str:
    path = folder / name
    write_numbered_video(path, fps=Fraction(10), frames=frames, size_hw=(160, 240))
    return str(path)


def artifacts(run_id: str) -> dict[str, Artifact]:
    """The newest artifact of each key of a run."""
    with get_client(sync_client=True) as client:
        found = sorted(client.read_artifacts(), key=lambda artifact: str(artifact.created))
    return {str(a.key).removesuffix(f"-{run_id}"): a for a in found if str(a.key).endswith(run_id)}


def test_videos_are_summed_over_their_shards_worst_first(home: Home, tmp_path: Path) -> None:
    easy, hard = video(tmp_path, "easy.mp4", 20), video(tmp_path, "hard.mp4")
    config = scripted_config(DOUBTFUL, {"by_ms": {2500: [WHOLE]}}, sampling={"shard_s": 1}, workers=2)
    summary = generate_dataset([easy, hard], config, home=home.root)
    with database_of(home).session() as session:
        worst, best = video_works(session, summary.run_id)
        assert (worst.done, worst.left, worst.counts["hard"]) == (3, 0, 5)
        assert (best.done, best.left, best.counts["hard"]) == (2, 0, 4)
        for name, frames in summary.counts.items():
            assert worst.counts.get(name, 0) + best.counts.get(name, 0) == frames, name
        assert count_for_people(session, summary.run_id) == 9
    rows = json.loads(str(artifacts(summary.run_id)["videos"].data))
    assert [row["video"] for row in rows] == ["hard.mp4", "easy.mp4", "all 2 videos"]
    assert [row["to review"] for row in rows] == [5, 4, 9]


def test_planned_shards_have_titles_with_video_and_seconds(home: Home, tmp_path: Path) -> None:
    config = scripted_config(DOUBTFUL, {}, sampling={"shard_s": 1})
    summary = generate_dataset([video(tmp_path, "one.mp4", 10)], config, home=home.root)
    ingest_spec(open_context(home), video(tmp_path, "two.mp4", 25), summary.run_id, config)
    with database_of(home).session() as session:
        shards = planned_shards(session, summary.run_id)
        titles = [title_of_shard(session, session.get_one(ShardRow, shard)) for shard in shards]
        assert titles == ["two.mp4 0-1 s", "two.mp4 1-2 s", "two.mp4 2-2.5 s"]
    with database_of(home).transaction() as session:
        fail_shard(session, shards[0], ModelError("out of memory"))
    with database_of(home).session() as session:
        assert shards_ended(session, summary.run_id) == (1, {shards[0]})
        first, second = video_works(session, summary.run_id)
    assert (first.failures, second.failures) == ({"model": 1}, {})  # before the one with more hard frames


def test_a_table_of_hundreds_of_videos_is_cut_and_ends_with_their_sum() -> None:
    works = [VideoWork(f"{n}", 1, counts={"sampled": 2}, seconds={"teacher": 1}) for n in range(257)]
    rows = list(table_rows(works, {work.video_id: f"{work.video_id}.mp4" for work in works}))
    assert len(rows) == MAX_ROWS + 1
    assert rows[-1]["video"] == "all 257 videos"
    assert (rows[-1]["sampled"], rows[-1]["teacher s"], rows[-1]["frames/s"]) == (514, 257, 2)
    assert "student s" not in rows[0]


def test_a_run_completes_while_the_server_refuses_everything(
    home: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise httpx.ConnectError("connection refused")

    caplog.set_level(logging.WARNING, "prefect.flow_runs")
    source = video(tmp_path, "one.mp4")
    # a config of this test only: the server keeps the artifacts of other tests' runs
    config = scripted_config(DOUBTFUL, {}, sampling={"shard_s": 47})
    with monkeypatch.context() as patch:
        patch.setattr(SyncPrefectClient, "create_artifact", away)
        patch.setattr("tasks.observability.events.emit_event", away)
        patch.setattr("tasks.observability.publish.trace_frames", away)
        state = generate_dataset([source], config, home=home.root, return_state=True)
    assert state.is_completed()
    assert state.result().counts["review"] == 6
    for missed in ("no progress artifact", "no table of its videos", "no artifact", "is not shown in full"):
        assert f"{missed}: ConnectError: connection refused" in caplog.text
    assert artifacts(state.result().run_id) == {}


def test_missing_images_are_left_out_of_the_page(home: Home, tmp_path: Path) -> None:
    config = scripted_config(DOUBTFUL, {"boxes": [HALF]}, agreement={"hard_below": 0.6})
    summary = generate_dataset([video(tmp_path, "one.mp4")], config, home=home.root)
    assert "data:image/jpeg;base64," in str(artifacts(summary.run_id)["run"].data)
    shutil.rmtree(home.root / "images")
    generate_dataset([video(tmp_path, "two.mp4", 5)], config, home=home.root)
    page = str(artifacts(summary.run_id)["run"].data)
    assert "0.5-0.6      7 ███" in page
    assert "data:image" not in page


def test_foreign_text_is_escaped(home: Home, tmp_path: Path) -> None:
    summary = generate_dataset([video(tmp_path, "one.mp4")], scripted_config(DOUBTFUL, {}), home=home.root)
    evil = tmp_path / "<img src=x>![x](http:x).mp4"
    evil.write_text("no video")
    state = generate_dataset([str(evil)], scripted_config(DOUBTFUL, {}), home=home.root, return_state=True)
    with database_of(home).session() as session:
        whole: RunSummary = summarize_run(session, latest_run(session, summary.run_id))
        page = "\n\n".join(run_sections(session, whole, b""))
    assert state.name == "Failed"
    outside_code = page.replace(f"`{evil}`", "")
    assert "<img" not in outside_code
    assert "&lt;img src=x&gt;\\!\\[x\\](http:x).mp4" in outside_code


def test_progress_grows_as_shards_end(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.observability.progress.EVERY_S", 0.01)
    seen: list[tuple[float, str]] = []

    def remember(_: object, progress: float, *, description: str) -> None:
        seen.append((progress, description))

    monkeypatch.setattr("tasks.observability.progress.update_progress_artifact", remember)
    config = scripted_config(DOUBTFUL, {}, sampling={"shard_s": 0.5})
    generate_dataset([video(tmp_path, "before.mp4", 40)], config, home=home.root)
    seen.clear()  # shards of an earlier execution do not count
    generate_dataset([video(tmp_path, "one.mp4")], config, home=home.root)
    assert seen[0][0] < 100
    assert [progress for progress, _ in seen] == sorted({progress for progress, _ in seen})
    assert seen[-1][0] == 100
    assert seen[-1][1].startswith("6 of 6 shards in ")
    assert len(seen) > 1


def test_progress_ends_with_a_run_that_raises(home: Home) -> None:
    import threading

    from prefect import flow

    home.create()
    before = threading.active_count()

    @flow
    def failing() -> None:
        with show_progress(open_context(home), "0123abcd", 3):
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        failing()
    assert threading.active_count() <= before + 2  # Prefect's own for logs and events
    assert artifacts("0123abcd")["progress"].data == 0
