"""Schedules on a real Prefect server: what fires by itself, what is left by Ctrl-C, what is refused."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.flows import Flow, load_flow_from_entrypoint

from configs.load import load_config
from configs.schedules import FlowSchedule
from db.queries import latest_run, summarise_run
from flows.serving import ONE_AT_A_TIME, make_deployments, prefect_schedule
from labeling.scene import render_scene
from labeling.storage import Home
from tasks.ledger import close_ledgers, ledger_of
from tests.conftest import ROOT
from tests.prefect_server import run_prefect_server

PATIENCE_S = 90
"""Less than the five minutes after which Prefect believes that a run is gone."""


@pytest.fixture(autouse=True)
def closed_ledgers() -> Iterator[None]:
    yield
    close_ledgers()


@dataclass(frozen=True)
class Service:
    """`maskmill serve` of a scene that takes a while, every five seconds."""

    folder: Path
    environment: dict[str, str]

    def start(self) -> "subprocess.Popen[bytes]":
        words = ["serve", "scene.mp4", "--config", "offline", "--home", "home"]
        for change in (
            "schedules.generate.interval_s=5",
            "sampling.every_s=0",
            "sampling.min_gap_s=0",
            "sampling.shard_s=1",
        ):
            words += ["--set", change]
        environment = os.environ | self.environment | {"PYTHONPATH": str(ROOT)}
        with (self.folder / "serve.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *words],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(self.environment["PREFECT_API_URL"])

    def runs(self, state: StateType) -> Sequence[FlowRun]:
        with self.client() as client:
            return [run for run in client.read_flow_runs(limit=200) if run.state_type == state]

    def paused(self) -> set[bool]:
        with self.client() as client:
            return {deployment.paused for deployment in client.read_deployments()}

    def pictures(self) -> list[Path]:
        return list((self.folder / "home" / "pictures").glob("*/*"))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    render_scene(tmp_path / "scene.mp4", seconds=6)
    (tmp_path / "prefect").mkdir()
    with run_prefect_server(tmp_path / "prefect") as environment:
        yield Service(tmp_path, environment)


def wait_until(happened: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.3)


def end(process: "subprocess.Popen[bytes]", send: Callable[[int, int], None], signum: int) -> float:
    """Seconds until it had ended, well."""
    begin = time.monotonic()
    send(process.pid, signum)
    assert process.wait(60) == 0
    return time.monotonic() - begin


@pytest.mark.slow
@pytest.mark.prefect
def test_a_schedule_fires_by_itself_and_goes_on_where_ctrl_c_stopped_it(service: Service) -> None:
    process = service.start()
    try:
        wait_until(service.pictures, process)
        assert end(process, os.killpg, signal.SIGINT) < 15  # as a terminal does: to the run too
        assert service.paused() == {True}
        assert not service.runs(StateType.RUNNING)
        (stopped,) = service.runs(StateType.CRASHED)
        assert "the next run goes on" in str(stopped.state and stopped.state.message)
        process = service.start()
        wait_until(lambda: service.runs(StateType.COMPLETED), process)
        assert service.paused() == {False}
        end(process, os.kill, signal.SIGTERM)
        assert service.paused() == {True}
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with ledger_of(Home(service.folder / "home")).session() as session:
        summary = summarise_run(session, latest_run(session, None))
    assert summary.shards_pending == 0
    assert summary.counts["looked_at"] == 6 * 25


@pytest.mark.parametrize(
    ("url", "told"),
    [("", "want a Prefect server that stays"), ("http://127.0.0.1:1/api", "answers at http://127.0.0.1:1")],
)
def test_without_a_server_it_is_said_how_to_start_one(url: str, told: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "serve", "video.mp4", "--config", "offline"],
        cwd=tmp_path,
        env=os.environ | {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": url, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert "`prefect server start`" in done.stderr


def test_a_password_in_a_source_is_refused_before_prefect_stores_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "serve", "rtsp://me:hush@10.0.0.7/live", "--home", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "hush" not in done.stderr
    assert "environment" in done.stderr


def test_deployments_hold_all_that_their_flows_are_to_know(tmp_path: Path) -> None:
    config = load_config("offline", ["schedules.push.cron=0 2 * * mon-fri", "review.open_tasks=7"])
    generate, push, pull = make_deployments(["a.mp4", "b/"], config, name="50%", home=tmp_path)
    assert [deployment.name for deployment in (generate, push, pull)] == ["50-"] * 3
    assert [bool(deployment.schedules) for deployment in (generate, push, pull)] == [False, True, False]
    assert generate.parameters["sources"] == ["a.mp4", "b/"]
    assert type(config).model_validate(generate.parameters["config"]).run_id() == config.run_id()
    assert push.parameters["run"] == config.run_id()
    assert push.parameters["settings"]["open_tasks"] == 7
    assert pull.parameters == {"home": str(tmp_path)}
    for deployment in (generate, push, pull):
        assert deployment.concurrency_limit == ONE_AT_A_TIME.limit
        assert deployment.concurrency_options is not None
        assert deployment.concurrency_options.collision_strategy == ONE_AT_A_TIME.collision_strategy


def test_every_deployment_loads_by_its_entrypoint_with_the_parameters_it_is_given(tmp_path: Path) -> None:
    for deployment in make_deployments(["a.mp4"], load_config("offline"), name="offline", home=tmp_path):
        flow: Flow[..., Any] = load_flow_from_entrypoint(str(deployment.entrypoint))
        assert flow.name == deployment.flow_name
        flow.validate_parameters(deployment.parameters)


def test_an_interval_is_counted_from_a_midnight_of_its_zone() -> None:
    schedule = prefect_schedule(FlowSchedule(interval_s=86400, timezone="Europe/Berlin"))
    assert schedule.interval == timedelta(days=1)
    assert schedule.anchor_date.isoformat() == "2020-01-01T00:00:00+01:00"
    assert schedule.timezone == "Europe/Berlin"


def test_a_line_of_cron_keeps_its_zone() -> None:
    schedule = prefect_schedule(FlowSchedule(cron="0 2 * * *", timezone="Asia/Tokyo"))
    assert (schedule.cron, schedule.timezone) == ("0 2 * * *", "Asia/Tokyo")
