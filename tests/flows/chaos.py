"""A job that is killed at random moments, and who is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from db.models.core import LeaseRow, RunRow, ShardRow
from labeling.storage.home import Home
from tasks.execution.context import database_of
from tests.conftest import ROOT
from tests.flows.dump import dump_files, dump_rows

KILLS = int(os.environ.get("MASKMILL_TEST_KILLS", "2"))
SHARDS = 4 * KILLS + 4
"""Fresh ones come first: so many that no shard is killed three times, by which it would count as failed."""
SHARD_S = 0.5
PATIENCE_S = 240
"""For the next shard, on a machine that has other work too."""
CHANGES = ("sampling.every_s=0", "sampling.min_gap_s=0", f"sampling.shard_s={SHARD_S}")

Outcome = tuple[dict[str, list[tuple[object, ...]]], dict[str, bytes]]


@dataclass(frozen=True)
class Job:
    """One run of a scene, whoever works on it; its processes know its environment."""

    scene: Path
    folder: Path
    environment: dict[str, str]
    moments: random.Random = field(default_factory=lambda: random.Random(4))  # noqa: S311  # not secrets

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def begin(self, *words: str) -> "subprocess.Popen[bytes]":
        """A command of ours, in a process group of its own."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.cli.main", *words],
                env=os.environ | self.environment | self._mark | {"PYTHONPATH": str(ROOT)},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, *changes: str) -> "subprocess.Popen[bytes]":
        return self.begin("run", str(self.scene), *self.config(*changes), "--json")

    def config(self, *changes: str) -> list[str]:
        words = ["--config", "offline", "--home", str(self.home)]
        for change in (*CHANGES, *changes):
            words += ["--set", change]
        return words

    def done(self) -> int:
        with database_of(Home(self.home)).session() as session:
            done = select(func.count()).select_from(ShardRow).where(ShardRow.state == "done")
            return session.scalar(done) or 0

    def is_finished(self) -> bool:
        with database_of(Home(self.home)).session() as session:
            return session.scalar(select(RunRow.finished_at)) is not None

    def hold_lease(self) -> list[str]:
        with database_of(Home(self.home)).session() as session:
            return list(session.scalars(select(LeaseRow.id)))

    def wait_for_work(self, process: "subprocess.Popen[bytes]") -> None:
        """Until another shard is done, and a random moment longer: in the middle of the next."""
        before = self.done()
        wait_until(lambda: self.done() > before or process.poll() is not None)
        assert process.poll() is None, (self.folder / "log").read_text()[-3000:]
        time.sleep(self.moments.uniform(0, 1.5))

    def processes(self) -> "dict[int, Process]":
        """All that this job started and that lives, wherever in the process tree."""
        (mark,) = (f"{name}={value}" for name, value in self._mark.items())
        return {process.pid: process for process in living_processes() if mark in process.environment}

    def recover(self) -> None:
        """Recover until no lease is left."""

        def is_quiet() -> bool:
            assert self.begin("recover", "--home", str(self.home)).wait(PATIENCE_S) == 0
            return not self.hold_lease()

        wait_until(is_quiet)

    def outcome(self) -> Outcome:
        """Rows and COCO files, but for what says who worked on them."""
        export = ["export", "coco", str(self.folder / "coco"), "--home", str(self.home)]
        for decision in ("easy", "accepted", "review"):
            export += ["--decision", decision]
        assert self.begin(*export).wait(PATIENCE_S) == 0
        rows = dump_rows(self.home)
        assert len(rows["shard"]) == SHARDS
        assert rows["instance"]
        rows["run"] = [tuple(value for value in row if "runner" not in str(value)) for row in rows["run"]]
        return rows, dump_files(self.folder / "coco")

    def end(self) -> None:
        for pid in self.processes():
            kill(pid)

    @property
    def _mark(self) -> dict[str, str]:
        return {"MASKMILL_TEST_JOB": str(self.folder)}


@dataclass(frozen=True)
class Process:
    """One of this machine."""

    pid: int
    parent: int
    command: str
    environment: frozenset[str]

    @property
    def flow_run_id(self) -> str | None:
        """Whose process a worker of Prefect started."""
        found = [entry for entry in self.environment if entry.startswith("PREFECT__FLOW_RUN_ID=")]
        return found[0].partition("=")[2] if found else None


def living_processes() -> Iterator[Process]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is not ours
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            yield Process(int(folder.name), parent, command, frozenset(environment))


def differences(one: Outcome, other: Outcome) -> dict[str, list[tuple[object, ...]]]:
    """Tables and files that are not the same, with the first rows that only one has."""
    (rows, files), (other_rows, other_files) = one, other
    found: dict[str, list[tuple[object, ...]]] = {}
    for table in rows:
        if rows[table] != other_rows[table]:
            found[table] = list(set(rows[table]) ^ set(other_rows[table]))[:4]
    names = files.keys() | other_files.keys()
    return found | {name: [] for name in names if files.get(name) != other_files.get(name)}


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until(happened: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.2)
