"""Schedules on a real Prefect server: what fires by itself, what is left by Ctrl-C, what is refused."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType

from db.runs.queries import latest_run, summarize_run
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases, database_of
from tests.conftest import ROOT
from tests.prefect_server import run_prefect_server
from tests.refused_commands import command_here

PATIENCE_S = 90
"""Less than the five minutes after which Prefect believes that a run is gone."""


@pytest.fixture(autouse=True)
def closed_databases() -> Iterator[None]:
    yield
    close_databases()


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
                [sys.executable, "-m", "flows.cli.main", *words],
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

    def images(self) -> list[Path]:
        return list((self.folder / "home" / "images").glob("*/*"))


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


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.prefect
def test_a_schedule_fires_by_itself_and_goes_on_where_ctrl_c_stopped_it(service: Service) -> None:
    process = service.start()
    try:
        wait_until(service.images, process)
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
    with database_of(Home(service.folder / "home")).session() as session:
        summary = summarize_run(session, latest_run(session, None))
    assert summary.shards_pending == 0
    assert summary.counts["sampled"] == 6 * 25


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "told"),
    [("", "require a permanent Prefect server"), ("http://127.0.0.1:1/api", "answers at http://127.0.0.1:1")],
)
def test_without_a_server_it_is_said_how_to_start_one(
    url: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command_here(url, "serve", "video.mp4", "--config", "offline")
    assert done.exit_code == 2
    assert told in done.stderr
    assert f"warning: source {tmp_path}/video.mp4 does not exist on this machine" in done.stderr
    assert "`prefect server start`" in done.stderr


def test_a_password_in_a_source_is_refused_before_prefect_stores_it(tmp_path: Path) -> None:
    """The server is nowhere: it is not even asked."""
    words = ["serve", "rtsp://me:hush@10.0.0.7/live", "--home", str(tmp_path)]
    done = command_here("http://prefect.invalid/api", *words)
    assert done.exit_code == 2
    assert "hush" not in done.stderr
    assert "environment" in done.stderr
