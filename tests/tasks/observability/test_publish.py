"""The end of a run, in the database and in Prefect."""

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
from tasks.close import Execution, close_run_task
from tasks.execution.context import Context, close_databases, open_context
from tasks.observability.publish import publish_run

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    home = Home(tmp_path / "home")
    home.create()
    yield open_context(home)
    close_databases()


def close(context: Context, run_id: str) -> RunSummary:
    with context.database.transaction() as session:
        upsert_run(session, run_id, name="test", config={}, code_version="test")

    @flow
    def end_of_a_run() -> RunSummary:
        summary = close_run_task(context, run_id, Execution(shards=[1]))
        publish_run(context, summary)
        return summary

    return end_of_a_run()


def test_a_finished_run_has_an_artifact(context: Context) -> None:
    close(context, "0123abcd")
    with get_client(sync_client=True) as client:
        assert "run-0123abcd" in [artifact.key for artifact in client.read_artifacts()]


def test_a_refused_artifact_does_not_fail_a_finished_run(
    context: Context, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send_invalid_key(client: SyncPrefectClient, artifact: object) -> None:
        client.request("POST", "/artifacts/", json={"key": "neither capitals nor spaces"})

    monkeypatch.setattr(SyncPrefectClient, "create_artifact", send_invalid_key)
    caplog.set_level(logging.WARNING, "prefect.flow_runs")
    assert close(context, "0123abcd").run_id == "0123abcd"
    with context.database.session() as session:
        assert session.get_one(RunRow, "0123abcd").finished_at is not None
    assert "run 0123abcd has no artifact: PrefectHTTPStatusError: Client error '422" in caplog.text
