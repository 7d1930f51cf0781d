"""Recovery by `serve` and `worker` on a real Prefect server: who is freed, and who is left alone."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Pending
from sqlalchemy import select

from db.models.core import LeaseRow, ShardRow
from flows.deployment import recovery
from flows.deployment.recovery import RecoveryLoop
from flows.recover import recover
from labeling.errors import DatabaseUnreachable
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from tasks.execution import zombies
from tasks.execution.context import close_databases, database_of, has_database
from tasks.execution.process_identity import ProcessIdentity
from tasks.execution.zombies import PROCESS_LABEL, TAG
from tests.conftest import ROOT
from tests.prefect_server import run_prefect_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
FREED_S = 60
"""From a kill, or from the start of the next `serve` or `worker`, to free shards and a final state."""
PATIENCE_S = 180


@pytest.fixture(autouse=True)
def closed_ledgers() -> Iterator[None]:
    yield
    close_databases()


def wait_until(happened: Callable[[], object], patience_s: float = PATIENCE_S) -> float:
    """Seconds until it had happened."""
    begin = time.monotonic()
    while not happened():
        assert time.monotonic() - begin < patience_s
        time.sleep(0.2)
    return time.monotonic() - begin


@pytest.fixture
def child() -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def flow_run(home: Path) -> UUID:
    with get_client(sync_client=True) as client:
        parameters = {"home": str(home)}
        return client.create_flow_run(recover, parameters=parameters, tags=[TAG], state=Pending()).id


def read(run: UUID) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run)


@pytest.mark.usefixtures("prefect")
def test_a_start_is_labeled_and_crashed_when_its_process_is_killed(
    tmp_path: Path, child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zombies, "SETTLE_S", 0.0)
    home = Home(tmp_path)
    run = flow_run(home.root)
    with RecoveryLoop(lambda: [home.root], interval_s=0.2) as loop:
        loop.record_submission(run)
        loop.record_start(run, child.pid)
        wait_until(lambda: PROCESS_LABEL in read(run).labels)
        labeled = ProcessIdentity.parse(read(run).labels[PROCESS_LABEL])
        assert labeled is not None
        assert labeled.pid == child.pid
        time.sleep(1)
        assert read(run).state_type == StateType.PENDING
        child.kill()
        wait_until(lambda: read(run).state_type == StateType.CRASHED)
    assert not has_database(home)  # a look makes none


@pytest.mark.usefixtures("prefect")
def test_at_the_end_what_was_killed_or_never_started_is_crashed_and_what_lives_is_not(
    tmp_path: Path, child: "subprocess.Popen[bytes]"
) -> None:
    never, killed, lives = (flow_run(tmp_path) for _ in range(3))
    loop = RecoveryLoop(lambda: [tmp_path])
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    for run, process in ((killed, other), (lives, child)):
        loop.record_submission(run)
        loop.record_start(run, process.pid)
    loop.record_submission(never)
    other.kill()
    other.wait()
    loop.crash_ended_runs("stopped; the next run goes on")
    states = {run: read(run).state_type for run in (never, killed, lives)}
    assert states == {never: StateType.CRASHED, killed: StateType.CRASHED, lives: StateType.PENDING}


def test_a_round_that_fails_is_followed_by_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rounds: list[int] = []

    def fail(_home: Home, *_more: object) -> list[str]:
        rounds.append(1)
        raise DatabaseUnreachable("it is away")

    monkeypatch.setattr(recovery, "crash_stuck_flow_runs", fail)
    with RecoveryLoop(lambda: [tmp_path], interval_s=0.05):
        wait_until(lambda: len(rounds) > 2)


def test_a_submission_forgets_the_last_process_of_the_same_run(child: "subprocess.Popen[bytes]") -> None:
    """Its process is gone, and the new one is not there yet."""
    loop, run = RecoveryLoop(list), uuid4()
    loop.record_start(run, child.pid)
    assert run in loop._started
    loop.record_submission(run)
    assert loop._started == {}


def test_ended_processes_are_forgotten_when_there_are_many(
    child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_REMEMBERED", 2)
    loop, runs = RecoveryLoop(list), [uuid4() for _ in range(4)]
    for run in runs:
        loop.record_start(run, child.pid)
    loop._forget_ended()
    assert list(loop._started) == runs
    child.kill()
    child.wait()
    loop._forget_ended()
    assert list(loop._started) == runs[2:]


@dataclass
class Site:
    """A deployment of a scene that takes a while, and what starts its runs on this machine."""

    folder: Path
    environment: dict[str, str]
    name: str = field(default_factory=lambda: f"site-{secrets.token_hex(4)}")
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def begin(self, *words: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli.main", *words],
                cwd=self.folder,
                env=os.environ | self.environment | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def job(self) -> list[str]:
        words = [str(self.folder / "scene.mp4"), "--config", "offline", "--name", self.name]
        words += ["--home", str(self.home)]
        for change in (
            "schedules.generate.interval_s=5",
            "sampling.every_s=0",
            "sampling.min_gap_s=0",
            "sampling.shard_s=0.5",
        ):
            words += ["--set", change]
        return words

    def serve(self) -> "subprocess.Popen[bytes]":
        return self.begin("serve", *self.job())

    def deploy(self) -> None:
        assert self.begin("deploy", *self.job(), "--pool", self.name).wait(PATIENCE_S) == 0

    def worker(self) -> "subprocess.Popen[bytes]":
        return self.begin("worker", "--pool", self.name)

    def working(self) -> FlowRun | None:
        """A flow run that holds a shard."""
        if not has_database(Home(self.home)):
            return None
        with database_of(Home(self.home)).session() as session:
            holder = session.scalar(select(ShardRow.leased_by).where(ShardRow.leased_by.is_not(None)))
        return self.read(UUID(holder)) if holder else None

    def read(self, run_id: UUID) -> FlowRun:
        with SyncPrefectClient(self.environment["PREFECT_API_URL"]) as client:
            return client.read_flow_run(run_id)

    def is_recovered(self, run: FlowRun) -> bool:
        """Whether Prefect shows the end of a run, and no lease and shard of it is left."""
        with database_of(Home(self.home)).session() as session:
            leases = session.scalars(select(LeaseRow).where(LeaseRow.id == str(run.id))).all()
            shards = session.scalars(select(ShardRow).where(ShardRow.leased_by == str(run.id))).all()
        state = self.read(run.id).state
        return not leases and not shards and state is not None and state.is_final()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with run_prefect_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


@pytest.fixture
def site(tmp_path: Path, server: dict[str, str]) -> Iterator[Site]:
    render_scene(tmp_path / "scene.mp4", seconds=20, size_hw=(180, 320))
    made = Site(tmp_path, server)
    yield made
    for process in made.processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    for process in made.processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def pid_of(run: FlowRun) -> int:
    process = ProcessIdentity.parse(run.labels.get(PROCESS_LABEL))
    assert process is not None
    return process.pid


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["serve", "worker"])
def test_runs_that_are_killed_alone_and_with_what_started_them_are_recovered(site: Site, kind: str) -> None:
    if kind == "worker":
        site.deploy()
    start = site.serve if kind == "serve" else site.worker
    parent = start()
    for with_parent in (False, True):
        wait_until(site.working)
        run = site.working()
        assert run is not None
        if with_parent:
            parent.kill()
            parent.wait()
        os.kill(pid_of(run), signal.SIGKILL)
        if with_parent:
            parent = start()
        took_s = wait_until(lambda found=run: site.is_recovered(found))  # type: ignore[misc]  # bound here
        print(f"\n{kind}, with its parent: {with_parent}: recovered after {took_s:.1f} s")
        assert took_s < FREED_S
        assert site.read(run.id).state_type == StateType.CRASHED


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.timeout(900)
def test_a_run_that_is_paused_is_left_alone_and_completes(site: Site) -> None:
    site.serve()
    wait_until(site.working)
    run = site.working()
    assert run is not None
    os.kill(pid_of(run), signal.SIGSTOP)
    time.sleep(45)  # an age at which leases of other machines expire
    assert site.read(run.id).state_type == StateType.RUNNING
    with database_of(Home(site.home)).session() as session:
        assert session.scalars(select(LeaseRow.id).where(LeaseRow.id == str(run.id))).all()
    os.kill(pid_of(run), signal.SIGCONT)
    wait_until(lambda: site.read(run.id).state_type != StateType.RUNNING)
    assert site.read(run.id).state_type == StateType.COMPLETED
    with database_of(Home(site.home)).session() as session:
        shards = session.scalars(select(ShardRow)).all()
    assert {(shard.state, shard.attempts_lost) for shard in shards} == {("done", 0)}
