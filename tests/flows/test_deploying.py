"""Deployments and workers on a real Prefect server: what fires, what is changed, stopped, refused."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse

from db.runs.queries import latest_run, summarize_run
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases, database_of
from tasks.execution.slots import GPU_LIMIT
from tests.conftest import ROOT
from tests.refused_commands import command_here

PATIENCE_S = 120
SMALL_SHARDS = ("sampling.every_s=0", "sampling.min_gap_s=0", "sampling.shard_s=1")


@pytest.fixture(autouse=True)
def closed_databases() -> Iterator[None]:
    yield
    close_databases()


@dataclass(frozen=True)
class Team:
    """A folder with a scene, and a name of its own for pool and deployments."""

    folder: Path
    name: str
    environment: dict[str, str]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "flows.cli.main", *words]
        return subprocess.run(
            command, cwd=self.folder, env=self._surroundings(), capture_output=True, text=True, check=False
        )

    def deploy(self, *changes: str) -> "subprocess.CompletedProcess[str]":
        words = ["deploy", "scene.mp4", "--config", "offline", "--home", "home", "--json"]
        words += ["--name", self.name, "--pool", self.name]
        for change in changes:
            words += ["--set", change]
        return self.command(*words)

    @contextmanager
    def worker(self, name: str) -> "Iterator[subprocess.Popen[bytes]]":
        """A worker in a folder where nothing is; what it started ends with it."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        words = ["worker", "--pool", self.name, "--name", name]
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli.main", *words],
                cwd=elsewhere,
                env=self._surroundings(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(self.environment["PREFECT_API_URL"])

    def deployments(self) -> dict[str, DeploymentResponse]:
        with self.client() as client:
            found = client.read_deployments(
                deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[self.name]))
            )
            return {client.read_flow(deployment.flow_id).name: deployment for deployment in found}

    def runs(self, flow: str, state: StateType) -> Sequence[FlowRun]:
        deployment = self.deployments()[flow]
        with self.client() as client:
            runs = client.read_flow_runs(limit=200)
        return [run for run in runs if run.deployment_id == deployment.id and run.state_type == state]

    def start(self, flow: str, **parameters: object) -> None:
        with self.client() as client:
            client.create_flow_run_from_deployment(self.deployments()[flow].id, parameters=parameters)

    def images(self) -> list[Path]:
        return list((self.home / "images").glob("*/*"))

    def _surroundings(self) -> dict[str, str]:
        return os.environ | self.environment | {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def team(tmp_path: Path, prefect_server: dict[str, str]) -> Team:
    render_scene(tmp_path / "scene.mp4", seconds=4)
    return Team(tmp_path, f"team-{secrets.token_hex(4)}", prefect_server)


def wait_until(happened: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.5)


def processes_of(team: Team) -> list[str]:
    """Processes of runs on the team's home, wherever in the process tree."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"PREFECT__DEPLOYMENT_NAME={team.name}".encode() in environment.read_bytes().split(b"\0"):
                found.append(environment.parent.name)
    return found


@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.timeout(900)
@pytest.mark.long
def test_a_schedule_fires_by_itself_and_a_worker_elsewhere_completes_it(team: Team) -> None:
    done = team.deploy(
        "schedules.generate.interval_s=20", "schedules.export={cron: '* * * * *'}", "gpu_slots=1"
    )
    assert done.returncode == 0, done.stderr
    starts = {one["name"]: one["starts"] for one in json.loads(done.stdout)}
    assert starts[f"generate-dataset/{team.name}"] == "every 20 s"
    assert starts[f"push-reviews/{team.name}"] == "only manually"
    assert starts[f"export-dataset/{team.name}"] == "cron * * * * *, UTC"
    with team.worker("one") as worker:
        wait_until(lambda: team.runs("generate-dataset", StateType.COMPLETED), worker)
        exported = team.home / "export" / "annotations" / "instances.json"
        wait_until(exported.is_file, worker)  # by the next cron, if the first came before anything was found
        wait_until(lambda: team.runs("export-dataset", StateType.COMPLETED), worker)
        team.start("pull-reviews", home=".maskmill")
        wait_until(lambda: team.runs("pull-reviews", StateType.FAILED), worker)
    (failed,) = team.runs("pull-reviews", StateType.FAILED)
    assert "give an absolute path" in str(failed.state and failed.state.message)
    with database_of(Home(team.home)).session() as session:
        summary = summarize_run(session, latest_run(session, None))
    assert (summary.name, summary.shards_pending) == (team.name, 0)
    assert summary.counts["sampled"] == 8


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_a_worker_and_its_run_and_another_worker_goes_on(team: Team, signum: int) -> None:
    team.deploy("schedules.generate.interval_s=5", *SMALL_SHARDS)
    with team.worker("one") as worker:
        wait_until(team.images, worker)
        begin = time.monotonic()
        worker.send_signal(signum)
        assert worker.wait(60) == 0
        assert time.monotonic() - begin < 10
        assert not processes_of(team)
        assert not team.runs("generate-dataset", StateType.RUNNING)
        stopped = team.runs("generate-dataset", StateType.CRASHED)
        assert any("the next run goes on" in str(run.state and run.state.message) for run in stopped)
    with team.worker("two") as worker:
        wait_until(lambda: team.runs("generate-dataset", StateType.COMPLETED), worker)
    with database_of(Home(team.home)).session() as session:
        summary = summarize_run(session, latest_run(session, None))
    assert summary.shards_pending == 0
    assert summary.counts["sampled"] == 4 * 25


@pytest.mark.slow
@pytest.mark.prefect
def test_deploying_twice_changes_and_never_doubles(team: Team) -> None:
    team.deploy("schedules.generate.interval_s=3600", "schedules.pull.interval_s=7200", "gpu_slots=2")
    first = team.deployments()
    assert [flow for flow, one in sorted(first.items()) if one.schedules] == [
        "generate-dataset",
        "pull-reviews",
    ]
    with team.client() as client:
        client.pause_deployment(first["generate-dataset"].id)
    team.deploy("schedules.generate.cron=0 2 * * *", "gpu_slots=3")
    second = team.deployments()
    assert {flow: one.id for flow, one in second.items()} == {flow: one.id for flow, one in first.items()}
    (schedule,) = second["generate-dataset"].schedules
    assert "0 2 * * *" in repr(schedule.schedule)
    assert second["pull-reviews"].schedules == []
    assert not second["generate-dataset"].paused
    with team.client() as client:
        assert client.read_global_concurrency_limit_by_name(GPU_LIMIT).limit == 3
        assert [pool.name for pool in client.read_work_pools()].count(team.name) == 1


@pytest.mark.slow
@pytest.mark.prefect
def test_sources_that_are_not_on_this_machine_are_deployed_with_a_warning(team: Team) -> None:
    sources = ["scene.mp4", "gone", "/nas/*.mp4", "https://example.org/v.mp4", "gone.zip!a.mp4"]
    done = team.command("deploy", *sources, "--config", "offline", "--pool", team.name, "--name", team.name)
    assert done.returncode == 0
    told = done.stderr.splitlines()
    assert [line.partition(" does not exist")[0] for line in told] == [
        f"warning: source {team.folder}/{name}" for name in ("gone", "gone.zip!a.mp4")
    ]
    assert all("on this machine; the workers must find it under this path" in line for line in told)
    kept = team.deployments()["generate-dataset"].parameters["sources"]
    assert kept[:2] == [f"{team.folder}/scene.mp4", f"{team.folder}/gone"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.prefect
def test_a_pool_of_another_type_is_refused_by_deploy_and_worker(team: Team) -> None:
    with team.client() as client:
        client.create_work_pool(WorkPoolCreate(name=team.name, type="kubernetes"))
    for done in (team.deploy(), team.command("worker", "--pool", team.name)):
        assert done.returncode == 2
        assert "has the type 'kubernetes'" in done.stdout + done.stderr
    assert not team.deployments()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.prefect
def test_what_workers_run_is_not_served_too(team: Team) -> None:
    team.deploy("schedules.generate.interval_s=3600")
    done = team.command("serve", "scene.mp4", "--config", "offline", "--name", team.name)
    assert done.returncode == 2
    assert f"`maskmill worker --pool {team.name}`" in done.stderr
    assert not team.deployments()["generate-dataset"].paused


@pytest.mark.slow
@pytest.mark.parametrize("words", [["deploy", "video.mp4", "--pool", "night"], ["worker", "--pool", "night"]])
@pytest.mark.parametrize(
    ("url", "told"),
    [("", "require a permanent Prefect server"), ("http://127.0.0.1:1/api", "answers at http://127.0.0.1:1")],
)
def test_without_a_server_it_is_said_how_to_start_one(words: list[str], url: str, told: str) -> None:
    done = command_here(url, *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert "`prefect server start`" in done.stderr


class _LetsNobodyIn(BaseHTTPRequestHandler):
    """Says that it is well, and 401 to everything else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 401)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is enough."""


@pytest.mark.slow
def test_a_server_that_requires_a_password_is_told_from_one_that_is_away() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _LetsNobodyIn) as closed:
        Thread(target=closed.serve_forever, daemon=True).start()
        done = command_here(f"http://127.0.0.1:{closed.server_port}/api", "worker", "--pool", "night")
        closed.shutdown()
    assert done.exit_code == 2
    assert "HTTP 401" in done.stderr
    assert "PREFECT_API_AUTH_STRING" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scene.mp4", "--home", "/srv/m"], "source scene.mp4 is relative"),
        (["/nas/a.mp4"], "home .maskmill is relative"),
        (["rtsp://me:hush@10.0.0.7/live", "--home", "/srv/m"], "environment variable"),
        ([], "no sources"),
        (["/nas/a.mp4", "--set", "schedules.generate.cron=daily"], "minute, hour"),
        (["/nas/a.mp4", "--set", "schedules.nightly.cron=0 2 * * *"], "known: "),
    ],
)
def test_wrong_use_is_told_before_anything_is_registered(words: list[str], told: str) -> None:
    """The server is nowhere: it is not even asked."""
    nowhere = "http://prefect.invalid/api"
    done = command_here(nowhere, "deploy", "--config", "offline", "--pool", "night", *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert "hush" not in done.stderr


@pytest.mark.parametrize("command", [("deploy", "scene.mp4", "--config", "offline"), ("worker",)])
def test_a_server_named_without_http_is_told(command: tuple[str, ...]) -> None:
    """Not a relative path: `127.0.0.1:4200/api` has no host, and looks like a server elsewhere."""
    done = command_here("127.0.0.1:4200/api", *command, "--pool", "night")
    assert done.exit_code == 2
    assert "PREFECT_API_URL=127.0.0.1:4200/api is not a full URL" in done.stderr
