"""kill -9 at random moments until a job is done: the rows and COCO bytes of an undisturbed run.

MASKMILL_TEST_KILLS says how many kills, and with them how long the job is: with 20 some two minutes
for one thread that nobody disturbs. The Prefect server has a SQLite of its own, or the PostgreSQL that
PREFECT_SERVER_DATABASE_CONNECTION_URL names.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType

from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases
from tests.flows.chaos import KILLS, SHARD_S, SHARDS, Job, Outcome, Process, differences, kill, wait_until
from tests.postgres_server import RunningPostgres

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.prefect,
    pytest.mark.timeout(300 + 120 * KILLS),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
MARKED_S = 60
"""From the kill of a run, or of its start, to the moment when Prefect no longer shows it as running."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_scene(tmp_path_factory.mktemp("scene") / "scene.mp4", seconds=SHARDS * SHARD_S)


@pytest.fixture(scope="module")
def undisturbed(
    scene: Path, prefect_server: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outcome]:
    job = Job(scene, tmp_path_factory.mktemp("undisturbed"), prefect_server)
    begin = time.monotonic()
    assert job.run().wait(120 + 10 * SHARDS) == 0
    print(f"\n{SHARDS} shards, undisturbed on one thread: {time.monotonic() - begin:.0f} s")
    yield job.outcome()
    close_databases()


@pytest.fixture
def database(
    undisturbed: Outcome, postgres: RunningPostgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """PostgreSQL from here on; the undisturbed run had SQLite."""
    with postgres.empty_database() as url:
        monkeypatch.setenv("MASKMILL_DATABASE_URL", url)
        yield
        close_databases()


@pytest.fixture
def job(scene: Path, prefect_server: dict[str, str], database: None, tmp_path: Path) -> Iterator[Job]:
    made = Job(scene, tmp_path, prefect_server)
    yield made
    made.end()


def test_threads_that_are_killed_with_their_run(job: Job, undisturbed: Outcome) -> None:
    words = ("runner=threads", "workers=2")
    for _ in range(KILLS):
        process = job.run(*words)
        job.wait_for_work(process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert job.run(*words).wait(120 + 10 * SHARDS) == 0
    job.recover()
    assert differences(job.outcome(), undisturbed) == {}


@pytest.mark.requires("dask", module="prefect_dask")
def test_workers_of_dask_that_are_killed_alone_and_with_their_run(job: Job, undisturbed: Outcome) -> None:
    words = ("runner=dask", "workers=2")
    process = job.run(*words)
    for number in range(KILLS):
        job.wait_for_work(process)
        if number % 2:  # both in any case; which worker, and when, is random
            process.kill()  # it alone: its workers end by themselves
            process.wait()
            wait_until(lambda: not job.processes(), patience_s=30)
            process = job.run(*words)
        else:
            kill(job.moments.choice(dask_workers(job)).pid)
    assert process.wait(120 + 10 * SHARDS) == 0
    job.recover()
    assert differences(job.outcome(), undisturbed) == {}


def dask_workers(job: Job) -> list[Process]:
    workers = [process for process in job.processes().values() if "spawn_main" in process.command]
    return sorted(workers, key=lambda worker: worker.pid)


@dataclass
class Shift:
    """Two workers of a pool, and what was killed on them."""

    job: Job
    workers: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    killed_at: dict[str, float] = field(default_factory=dict)
    """When (Unix time) a run's process was killed, by the run's id."""
    running: set[str] = field(default_factory=set)
    """Those of them that Prefect showed as running afterwards."""

    def deploy(self) -> None:
        # a helper stays until the run is done: one every few seconds would be a crowd
        starts = ("generate.interval_s=5", "label.interval_s=20")
        config = self.job.config(*(f"schedules.{start}" for start in starts))
        words = ["deploy", str(self.job.scene), *config, "--name", "offline", "--pool", "chaos"]
        assert self.job.begin(*words).wait(120) == 0

    def staff(self) -> None:
        """Have two workers, whoever was killed."""
        for name in ("one", "two"):
            if name not in self.workers or self.workers[name].poll() is not None:
                self.workers[name] = self.job.begin("worker", "--pool", "chaos", "--name", name)

    def kill_something(self, number: int) -> None:
        worker = self.workers[self.job.moments.choice(["one", "two"])]
        runs = self.running_flow_runs()
        theirs = {run for run, of_run in runs.items() if any(one.parent == worker.pid for one in of_run)}
        if number % 3 == 0:
            self._kill([worker], theirs, runs)
        elif number % 3 == 1:
            self._kill([], {self.job.moments.choice(sorted(runs))}, runs)
        else:
            self._kill([worker], set(), runs)

    def running_flow_runs(self) -> dict[str, list[Process]]:
        """The processes of each run, by its id."""
        found: dict[str, list[Process]] = {}
        for process in self.job.processes().values():
            if process.flow_run_id:
                found.setdefault(process.flow_run_id, []).append(process)
        return found

    def _kill(
        self,
        workers: "list[subprocess.Popen[bytes]]",
        runs: set[str],
        processes: dict[str, list[Process]],
    ) -> None:
        for worker in workers:
            worker.kill()
            worker.wait()
        for run in runs:
            for process in processes[run]:
                kill(process.pid)
        self.killed_at |= dict.fromkeys(runs, time.time())
        self.running |= {run for run in runs if self.run(run).state_type == StateType.RUNNING}

    def run(self, run_id: str) -> FlowRun:
        with SyncPrefectClient(self.job.environment["PREFECT_API_URL"]) as client:
            return client.read_flow_run(UUID(run_id))

    def marked_s(self, run_id: str) -> float | None:
        """Seconds until Prefect no longer showed the run as going on; None: it still does."""
        state = self.run(run_id).state
        assert state
        return state.timestamp.timestamp() - self.killed_at[run_id] if state.is_final() else None

    def close(self) -> None:
        for worker in self.workers.values():
            worker.terminate()
        for worker in self.workers.values():
            worker.wait(60)
        wait_until(lambda: not self.job.processes())


def test_two_workers_of_a_pool_that_are_killed_with_and_without_their_runs(
    job: Job, undisturbed: Outcome
) -> None:
    shift = Shift(job)
    shift.deploy()
    for number in range(KILLS):
        shift.staff()
        job.wait_for_work(shift.workers["one"])
        shift.kill_something(number)
    shift.staff()
    wait_until(lambda: all(shift.marked_s(run) is not None for run in shift.killed_at))
    wait_until(job.is_finished, patience_s=120 + 10 * SHARDS)
    marked = {run: shift.marked_s(run) or 0.0 for run in shift.killed_at}
    slowest = max((marked[run] for run in shift.running), default=0.0)
    print(
        f"\n{KILLS} kills of {len(marked)} runs, {len(shift.running)} running: slowest mark {slowest:.0f} s"
    )
    assert max(marked.values(), default=0.0) < MARKED_S
    shift.close()
    job.recover()
    assert differences(job.outcome(), undisturbed) == {}
