"""Metrics read by the library's own parser, from both databases and over HTTP."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from configs.errors import ConfigError
from db.models.core import RunRow, RunSourceRow, ShardRow, SourceRow
from db.review.outbox import fill_outbox
from labeling.review.label_studio.ports import free_port
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of
from tasks.observability.metrics import metrics_server, metrics_text
from tests.planted_reviews import PlantedRun, person_frames, plant_run

COUNTS = {
    "sampled": 12,
    "easy": 3,
    "accepted": 1,
    "review": 4,
    "hard": 5,
    "compared": 8,
    "rejected:model_output": 2,
}
SECRET = "hunter2"  # noqa: S105  # a fake


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    yield Home(tmp_path / "home")
    close_databases()


def read(text: bytes) -> dict[tuple[str, ...], float]:
    """Return the samples by name and the values of their labels, without the home."""
    return {
        (
            sample.name,
            *(value for name, value in sorted(sample.labels.items()) if name != "home"),
        ): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def plant(home: Home) -> PlantedRun:
    """Plant two shards, one of them failed, a failed source and four frames for review."""
    run = plant_run(home, person_frames(4))
    with database_of(home).transaction() as session:
        changes = {"counts": COUNTS, "seconds": {"teacher": 2.5, "student": 0.5, "decode": 1.0}}
        session.execute(update(ShardRow).values(**changes))
        failed = ShardRow(id=7, run_id=run.id, video_id="ab" * 32, start_ms=60_000, state="failed")
        failed.error_code, failed.planned_at = "model_output", session.get_one(RunRow, run.id).worked_at
        source = SourceRow(id=1, spec=f"http://host/{SECRET}.mp4", kind="url")
        session.add_all([failed, source])
        session.flush()
        message = f"http://user:{SECRET}@host is away"
        session.add(
            RunSourceRow(
                run_id=run.id, source_id=1, state="failed", error_code="unreachable", error_message=message
            )
        )
        fill_outbox(session, run.id)
    return run


def test_counts_are_those_of_the_database_and_no_label_has_a_source(home: Home) -> None:
    plant(home)
    text = metrics_text(home.root)
    found = read(text)
    assert {key[1]: found[key] for key in found if key[0] == "maskmill_frames_total"} == {
        "easy": 3,
        "accepted": 1,
        "review": 4,
        "rejected": 4,
    }
    assert found["maskmill_hard_frames_total",] == 5
    assert found["maskmill_failed_frames_total",] == 2
    assert found["maskmill_stage_seconds_total", "teacher"] == 2.5
    assert found["maskmill_stage_seconds_total", "student"] == 0.5
    assert found["maskmill_shards", "done"] == found["maskmill_shards", "failed"] == 1
    assert found["maskmill_failed_shards", "model_output"] == 1
    assert found["maskmill_failed_sources", "unreachable"] == 1
    assert found["maskmill_waiting_frames",] == found["maskmill_reviews", "waiting"] == 4
    assert found["maskmill_up",] == 1
    assert SECRET not in text.decode()


def test_a_database_without_runs_gives_zeros(home: Home) -> None:
    found = read(metrics_text(home.root))
    assert found["maskmill_frames_total", "review"] == found["maskmill_waiting_frames",] == 0
    assert ("maskmill_worked_timestamp_seconds",) not in found


def test_a_home_without_a_database_is_down_and_none_is_created(tmp_path: Path) -> None:
    assert read(metrics_text(tmp_path / "none"))["maskmill_up",] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_unreadable_database_is_down_and_the_other_home_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASKMILL_DATABASE_URL", raising=False)
    good, bad = Home(tmp_path / "good"), Home(tmp_path / "bad")
    plant_run(good, person_frames(1))
    bad.root.mkdir()
    bad.database.write_bytes(b"no database" * 100)
    port = free_port()
    with metrics_server(lambda: [good.root, bad.root], host="127.0.0.1", port=port):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
        with (
            pytest.raises(ConfigError, match=f"--metrics-port {port}.*choose another"),
            metrics_server(lambda: [], host="127.0.0.1", port=port),
        ):
            pass
    close_databases()
    assert answer.headers["content-type"].startswith("text/plain")
    up = {
        sample.labels["home"]: sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == "maskmill_up"
    }
    assert up == {str(good.root): 1, str(bad.root): 0}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)


def test_without_a_port_nothing_listens() -> None:
    before = threading.enumerate()
    with metrics_server(lambda: [], host="127.0.0.1", port=None):
        assert threading.enumerate() == before
