"""Several at work on one run, of which some end in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling
from sqlalchemy import select

from db.models.core import ShardRow
from db.runs.leases import LEASE_S
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases, database_of
from tests.conftest import ROOT
from tests.flows.dump import dump_rows

pytestmark = [pytest.mark.slow, pytest.mark.prefect, pytest.mark.timeout(900)]
PATIENCE_S = 240


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    render_scene(path, seconds=10)
    return path


@dataclass
class Team:
    """Processes that run the same scene in the same home."""

    scene: Path
    folder: Path
    environment: dict[str, str]
    members: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def start(self, home: Path | None = None, *, shard_s: int = 2) -> "subprocess.Popen[bytes]":
        words = ["run", str(self.scene), "--config", "offline", "--home", str(home or self.home), "--json"]
        for change in ("sampling.every_s=0", "sampling.min_gap_s=0", f"sampling.shard_s={shard_s}"):
            words += ["--set", change]
        member = self._call(words)
        self.members.append(member)
        return member

    def recover(self) -> list[dict[str, Any]]:
        command = self._call(["recover", "--home", str(self.home), "--json"])
        return json.loads(command.communicate()[0])  # type: ignore[no-any-return]

    def _call(self, words: list[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli.main", *words],
            env=os.environ | self.environment | {"PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def shards(self, state: str) -> list[ShardRow]:
        if not (self.home / "maskmill.db").exists():
            return []
        with database_of(Home(self.home)).session() as session:
            return list(session.scalars(select(ShardRow).where(ShardRow.state == state)))

    def holders(self) -> set[str]:
        return {shard.leased_by for shard in self.shards("planned") if shard.leased_by}

    def flow_run(self, member: "subprocess.Popen[bytes]") -> FlowRun:
        """The only one that is not over."""
        with self.client() as client:
            (run,) = [run for run in client.read_flow_runs() if run.state and not run.state.is_final()]
            return run

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(self.environment["PREFECT_API_URL"])

    def state_of(self, run: FlowRun) -> StateType | None:
        with self.client() as client:
            return client.read_flow_run(run.id).state_type

    def shown_shards(self, run: FlowRun) -> list[str]:
        """How Prefect shows the shards of a flow run: name and message of each."""
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        with self.client() as client:
            states = [one.state for one in client.read_task_runs(flow_run_filter=of_run) if one.state]
        return sorted(f"{state.name}: {state.message}" for state in states)


@pytest.fixture
def team(scene: Path, tmp_path: Path, prefect_server: dict[str, str]) -> Iterator[Team]:
    made = Team(scene, tmp_path, prefect_server)
    yield made
    for member in made.members:
        with suppress(ProcessLookupError):
            os.killpg(member.pid, signal.SIGKILL)
        member.communicate()
    close_databases()


def wait_until(happened: Callable[[], object]) -> float:
    """Seconds until it had happened."""
    begin = time.monotonic()
    while not happened():
        assert time.monotonic() - begin < PATIENCE_S
        time.sleep(0.1)
    return time.monotonic() - begin


def answer(member: "subprocess.Popen[bytes]") -> Any:
    out, _ = member.communicate(timeout=PATIENCE_S)
    assert member.returncode == 0
    return json.loads(out)


@pytest.mark.long
def test_two_that_work_on_one_run_share_its_shards_and_give_the_dataset_of_one(team: Team) -> None:
    alone = answer(team.start(team.folder / "alone"))
    both = [team.start(), team.start()]
    worked = [answer(member)["shards_worked"] for member in both]
    assert sum(worked) == alone["shards_worked"] == 5
    assert dump_rows(team.home) == dump_rows(team.folder / "alone")


@pytest.mark.long
def test_what_a_killed_one_held_is_taken_over_by_the_one_that_waits(team: Team) -> None:
    first = team.start()
    wait_until(lambda: team.shards("done"))
    second = team.start()
    wait_until(lambda: len(team.holders()) == 2)
    os.killpg(first.pid, signal.SIGKILL)
    summary = answer(second)
    assert summary["shards_pending"] == 0
    assert summary["shards_done"] == 5
    assert sum(shard.attempts_lost for shard in team.shards("done")) == 1


@pytest.mark.long
def test_a_paused_run_keeps_its_shard_and_its_state_and_goes_on(team: Team) -> None:
    member = team.start()
    wait_until(team.holders)
    run = team.flow_run(member)
    os.kill(member.pid, signal.SIGSTOP)
    held = team.holders()
    time.sleep(LEASE_S + 5)  # an age at which leases of other machines expire
    assert team.recover() == []
    assert (team.holders(), team.state_of(run)) == (held, StateType.RUNNING)
    os.kill(member.pid, signal.SIGCONT)
    assert answer(member)["shards_done"] == 5
    assert [shard.attempts_lost for shard in team.shards("done")] == [0] * 5
    assert team.state_of(run) == StateType.COMPLETED


def test_a_run_whose_process_was_killed_is_marked_and_its_shard_freed(team: Team) -> None:
    member = team.start()
    wait_until(team.holders)
    run = team.flow_run(member)
    assert team.recover() == []
    os.killpg(member.pid, signal.SIGKILL)
    member.wait()
    assert team.state_of(run) == StateType.RUNNING
    (expired,) = team.recover()
    assert (expired["id"], expired["shards"]) == (str(run.id), 1)
    assert team.state_of(run) == StateType.CRASHED
    assert not team.holders()
    assert team.recover() == []


def test_a_run_that_is_cancelled_in_prefect_stops_within_seconds_and_frees_its_shard(team: Team) -> None:
    member = team.start(shard_s=10)  # the only one: it is not done when the news comes
    wait_until(team.holders)
    run = team.flow_run(member)
    with team.client() as client:
        client.set_flow_run_state(run.id, Cancelling())
    assert wait_until(lambda: member.poll() is not None) < 15
    assert member.returncode == 1
    assert team.state_of(run) == StateType.CANCELLED
    assert not team.holders()
    assert team.shards("planned")
    given_back = "Cancelled: not finished: the next run, or a helper of this one, continues it"
    wait_until(lambda: given_back in team.shown_shards(run))
    assert answer(team.start(shard_s=10))["shards_pending"] == 0
