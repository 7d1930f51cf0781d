"""A run's end, as the ledger and as Prefect see it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client

from db.models.core import RunRow
from db.runs.queries import RunSummary
from db.runs.writes import upsert_run
from labeling.storage.home import Home
from tasks.execution.database import close_databases, database_of
from tasks.observability.summary import close_run_task, publish_run

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    place = Home(tmp_path / "home")
    place.create()
    yield place
    close_databases()


def close(home: Home, run_id: str) -> RunSummary:
    with database_of(home).transaction() as session:
        upsert_run(session, run_id, name="test", config={}, code_version="test")

    @flow
    def end_of_a_run() -> RunSummary:
        summary = close_run_task(run_id, home.root, [], [1])
        publish_run(summary, home)
        return summary

    return end_of_a_run()


def test_a_finished_run_has_an_artifact(home: Home) -> None:
    close(home, "0123abcd")
    with get_client(sync_client=True) as client:
        assert "run-0123abcd" in [artifact.key for artifact in client.read_artifacts()]


def test_an_artifact_that_prefect_refuses_fails_no_finished_run(
    home: Home, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send_what_is_refused(client: SyncPrefectClient, artifact: object) -> None:
        client.request("POST", "/artifacts/", json={"key": "neither capitals nor spaces"})

    monkeypatch.setattr(SyncPrefectClient, "create_artifact", send_what_is_refused)
    caplog.set_level(logging.WARNING, "prefect.flow_runs")
    assert close(home, "0123abcd").run_id == "0123abcd"
    with database_of(home).session() as session:
        assert session.get_one(RunRow, "0123abcd").finished_at is not None
    assert "run 0123abcd has no artifact: PrefectHTTPStatusError: Client error '422" in caplog.text
