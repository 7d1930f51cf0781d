"""What a run shows on a real Prefect server: names, artifacts, events, states, logs."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from PIL import Image
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import Artifact, FlowRun

from configs.load import load_config, validate_config
from db.runs.queries import RunSummary, latest_run, summarize_run
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases, database_of
from tests.conftest import ROOT
from tests.prefect_server import run_prefect_server
from tests.servers import Site, send_page, serve

pytestmark = [pytest.mark.slow, pytest.mark.prefect]

AUTOMATIONS = ROOT / "docs" / "automations"
CHANGES = ["sampling.shard_s=3", "agreement.hard_below=0.97"]
"""In a scene this short little is hard."""

PATIENCE_S = 240


@dataclass(frozen=True)
class Operator:
    """Reads a server on which a run labeled frames, and a second execution of it had nothing to do."""

    folder: Path
    environment: dict[str, str]
    site: Site
    deployment: UUID

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(self.environment["PREFECT_API_URL"])

    def runs(self) -> list[FlowRun]:
        """Of generate-dataset, the first first."""
        with self.client() as client:
            (flow,) = (flow for flow in client.read_flows() if flow.name == "generate-dataset")
            runs = [run for run in client.read_flow_runs() if run.flow_id == flow.id]
        return sorted(runs, key=lambda run: str(run.start_time))

    def artifact(self, kind: str) -> Artifact:
        """The first run's artifact of this kind."""
        run = self.runs()[0]
        with self.client() as client:
            found = [a for a in client.read_artifacts() if (a.type, a.flow_run_id) == (kind, run.id)]
        (artifact,) = found
        return artifact

    def events(self, prefix: str) -> list[dict[str, Any]]:
        with self.client() as client:
            wanted = {"filter": {"event": {"prefix": [prefix]}}, "limit": 50}
            answer = client.request("POST", "/events/filter", json=wanted)
        return list(answer.json()["events"])

    def summary(self) -> RunSummary:
        with database_of(Home(self.folder / "home")).session() as session:
            return summarize_run(session, latest_run(session))


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("watching")
    (folder / "prefect").mkdir()
    render_scene(folder / "scene.mp4", seconds=8, size_hw=(180, 320))
    with run_prefect_server(folder / "prefect") as environment, serve() as site:
        site.pages["/hook"] = send_page("thanks")
        with SyncPrefectClient(environment["PREFECT_API_URL"]) as client:
            flow_id = client.create_flow_from_name("push-reviews")
            deployment = client.create_deployment(flow_id, "night")
            webhook = _create_webhook(client, site.url("/hook"))
        watching = Operator(folder, environment, site, deployment)
        _create_automation(watching, (AUTOMATIONS / "push-waiting-frames.yaml").read_text())
        told = (AUTOMATIONS / "report-failed-sources.yaml").read_text()
        _create_automation(watching, told.replace(str(UUID(int=0)), str(webhook)))
        _run(watching, "scene.mp4", "gone.mp4", expected=3)
        _run(watching, "scene.mp4", expected=0)
        yield watching
    close_databases()


def _create_webhook(client: SyncPrefectClient, url: str) -> UUID:
    from prefect.client.schemas.actions import BlockDocumentCreate

    kind = client.read_block_type_by_slug("webhook")
    answer = client.request("POST", "/block_schemas/filter", json={})
    (schema,) = (s["id"] for s in answer.json() if s["block_type_id"] == str(kind.id))
    data = {"url": url, "method": "POST"}
    block = BlockDocumentCreate(name="sources", block_schema_id=schema, block_type_id=kind.id, data=data)
    return client.create_block_document(block).id


def _create_automation(watching: Operator, text: str) -> None:
    path = watching.folder / "automation.yaml"
    path.write_text(text)
    command = [sys.executable, "-m", "prefect", "automation", "create", "--from-file", str(path)]
    subprocess.run(command, env=os.environ | watching.environment, check=True, timeout=120)


def _run(watching: Operator, *sources: str, expected: int) -> None:
    changes = [word for change in CHANGES for word in ("--set", change)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "flows.cli.main",
            "run",
            *sources,
            "--config",
            "offline",
            *changes,
            "--home",
            "home",
        ],
        cwd=watching.folder,
        env=os.environ
        | watching.environment
        | {
            "PYTHONPATH": str(ROOT),
            "PREFECT_LOGGING_LEVEL": "INFO",
            "PREFECT__RUNTIME__DEPLOYMENT__NAME": "night",  # as if a schedule had started it
        },
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == expected, done.stderr


def wait_for(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (result := found()):
        assert time.monotonic() < end
        time.sleep(0.3)
    return result


def test_names_contain_preset_sources_and_seconds(operator: Operator) -> None:
    first, second = operator.runs()
    assert (first.name, second.name) == ("offline: scene.mp4 and 1 more", "offline: scene.mp4")
    with operator.client() as client:
        names = wait_for(lambda: {run.name for run in client.read_task_runs()})
    assert {"ingest scene.mp4", "ingest gone.mp4"} <= names
    assert {"scene.mp4 0-3 s", "scene.mp4 3-6 s", "scene.mp4 6-8 s"} <= names


def test_a_run_with_failed_sources_has_its_own_state(operator: Operator) -> None:
    state = operator.runs()[0].state
    assert state is not None
    assert (state.type.value, state.name) == ("COMPLETED", "CompletedWithFailures")
    assert str(state.message).startswith("1 of 2 sources failed: gone.mp4: not_found:")


def test_a_run_with_nothing_to_do_has_its_own_state(operator: Operator) -> None:
    state = operator.runs()[1].state
    assert state is not None
    assert (state.type.value, state.name) == ("COMPLETED", "NothingToDo")
    assert state.message == "nothing to do: all 3 shards of this run were done before"


def test_progress_ends_with_the_last_shard(operator: Operator) -> None:
    progress = operator.artifact("progress")
    assert progress.data == 100
    assert str(progress.description).startswith("3 of 3 shards in ")


def test_the_table_has_a_row_per_video_and_failed_source(operator: Operator) -> None:
    failed, video = json.loads(str(operator.artifact("table").data))
    assert (failed["video"], failed["failures"], failed["sampled"]) == ("gone.mp4", "not_found", "")
    counts = operator.summary().counts
    assert video["video"] == "scene.mp4"
    assert (video["sampled"], video["compared"], video["hard"]) == (16, 16, counts["hard"])
    assert (video["accepted"], video["to review"]) == (counts.get("accepted", 0), counts["review"])
    assert video["teacher s"] == pytest.approx(operator.summary().seconds["teacher"], abs=0.06)
    assert video["frames/s"] > 0


def test_the_page_shows_the_failure_the_histogram_and_the_hardest_frames(operator: Operator) -> None:
    page = str(operator.artifact("markdown").data)
    assert "`gone.mp4`: **not\\_found**" in page or "`gone.mp4`: **not_found**" in page
    bins = re.findall(r"^\d\.\d-\d\.\d +(\d+)", page, re.MULTILINE)
    both_empty = re.search(r"In (\d+) more frame", page)
    assert sum(map(int, bins)) + int(both_empty[1] if both_empty else 0) == 16
    coded = re.search(r"\(data:image/jpeg;base64,([^)]+)\)", page)
    assert coded
    image = base64.b64decode(coded[1])
    assert len(image) <= 150_000
    with Image.open(io.BytesIO(image)) as sheet:
        assert sheet.width == 3 * 308 + 8


def test_the_events_of_a_run_have_the_data_for_automations(operator: Operator) -> None:
    summary = operator.summary()
    events = wait_for(lambda: found if len(found := operator.events("maskmill.")) == 5 else None)
    by_name: dict[str, dict[str, Any]] = {event["event"]: event for event in events}  # the first run's last
    failed = by_name["maskmill.source.failed"]
    assert failed["resource"]["prefect.resource.id"].startswith("maskmill.source.")
    assert failed["payload"]["code"] == "not_found"
    assert Path(failed["payload"]["source"]).name == "gone.mp4"
    assert "no such file" in failed["payload"]["message"]
    assert by_name["maskmill.review.waiting"]["payload"] == {"frames": summary.counts["review"]}
    finished = by_name["maskmill.run.finished"]
    assert finished["resource"]["prefect.resource.id"] == f"maskmill.run.{summary.run_id}"
    assert finished["payload"]["counts"] == summary.counts
    assert f"prefect.flow-run.{operator.runs()[0].id}" in {
        related["prefect.resource.id"] for related in finished["related"]
    }


def test_the_lineage_is_one_event_per_video_and_one_for_the_frames(operator: Operator) -> None:
    made, used = wait_for(lambda: found if len(found := operator.events("prefect.asset.")) == 2 else None)
    if made["event"] != "prefect.asset.materialization.succeeded":
        made, used = used, made
    summary = operator.summary()
    assert made["resource"]["prefect.resource.id"] == f"maskmill://runs/{summary.run_id}/frames"
    assert made["payload"] == summary.counts
    video = used["resource"]["prefect.resource.id"]
    assert re.fullmatch(r"maskmill://videos/[0-9a-f]{64}", video)
    assert used["resource"]["prefect.resource.name"] == "scene.mp4"
    assert video in {related["prefect.resource.id"] for related in made["related"]}


def test_the_example_automation_starts_the_push_of_the_same_name(operator: Operator) -> None:
    def pushes() -> list[FlowRun]:
        with operator.client() as client:
            return [run for run in client.read_flow_runs() if run.deployment_id == operator.deployment]

    (push, *_) = wait_for(pushes)
    assert push.state_type.value in {"SCHEDULED", "PENDING", "LATE"}


def test_the_example_automation_calls_a_webhook_about_the_failed_source(operator: Operator) -> None:
    (body,) = wait_for(lambda: operator.site.bodies)
    assert re.match(r"not_found: .*gone\.mp4: no such file", json.loads(body)["text"])


def test_the_log_has_versions_and_the_config_that_reproduces_the_run(operator: Operator) -> None:
    messages = wait_for(lambda: [m for m in log_of(operator) if m.startswith("run ") and "config (" in m])
    message = messages[0]
    for word in ("maskmill ", "prefect ", "numpy ", "av ", "opencv-python-headless ", "background:"):
        assert word in message
    again = validate_config(yaml.safe_load(message.partition("FILE`):\n")[2]), "log")
    assert again == load_config("offline", CHANGES)


def test_each_shard_and_each_failure_has_a_line_in_the_log(operator: Operator) -> None:
    lines = wait_for(lambda: found if len(found := shard_lines(operator)) == 3 else None)
    assert all(
        re.match(r"scene\.mp4 \d+-\d+ s: done: frames: .*sampled.*; .*teacher \d", line) for line in lines
    )
    assert any(re.match(r".*gone\.mp4: not_found: ", message) for message in log_of(operator))


def shard_lines(operator: Operator) -> list[str]:
    return [message for message in log_of(operator) if message.startswith("scene.mp4 ")]


def log_of(operator: Operator) -> list[str]:
    with operator.client() as client:
        logs = client.request("POST", "/logs/filter", json={"limit": 200}).json()
    run = str(operator.runs()[0].id)
    return [log["message"] for log in logs if log["flow_run_id"] == run]
