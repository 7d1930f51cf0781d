"""Working on a run's shards, beside whoever else does."""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from prefect import flow
from prefect.futures import PrefectFuture
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from configs.errors import ConfigError
from configs.models import RunConfig
from db.models.core import ShardRow
from db.runs.leases import MAX_DEATHS, claim_shard, claimed_by_others, release_shard, release_shards
from db.runs.overview import title_of_shard
from db.runs.queries import latest_run
from db.runs.writes import fail_shard
from flows.home import complete_if_no_run, existing_home, whole_path
from flows.runners.select import Workers, make_runner
from labeling.errors import (
    DatabaseError,
    DatabaseUnreachable,
    Interrupted,
    OtherDatabase,
    StorageError,
    WorkerLost,
)
from tasks.execution.database import SAME_DATABASE, database_of
from tasks.execution.leases import Execution, at_work, bury_the_dead, cancelled
from tasks.label import label_shard_task

TICK_S = 1.0
"""How often a flow that waits looks up: was it cancelled, is a shard free again?"""

_again_when_cut_off = retry(
    retry=retry_if_exception_type(DatabaseUnreachable),
    stop=stop_after_attempt(3),
    wait=wait_fixed(TICK_S),
    reraise=True,
)
"""A statement that a restart of the database cuts off is made anew; the new connection waits for it."""


@flow(name="label-shards", flow_run_name="help with {run}", persist_result=False)
@complete_if_no_run
def label_shards(run: str = "", home: Path = Path(".maskmill")) -> int:
    """Help with a run: work on its shards that nobody has, until none is left; how many it were.

    Args:
        run: id of the run, or its start; empty: the one that was worked on last.
        home: folder with the images, and the database unless MASKMILL_DATABASE_URL names another.
    """
    place = existing_home(whole_path(home, "home"))
    try:
        with at_work(place, "label-shards") as execution:
            bury_the_dead(place)
            with database_of(place).session() as session:
                found = latest_run(session, run or None)
                config = RunConfig.model_validate(found.config)
            if config.run_id() != found.id:
                raise ConfigError(
                    f"run {found.id} was begun by a version of maskmill with other settings: `maskmill run` with "
                    "its config begins it anew"
                )
            return len(work_on_shards(config, execution, wait_for_others=False))
    except Interrupted as error:
        return cancelled(error)  # type: ignore[no-any-return]  # Prefect takes a state for a result


def work_on_shards(config: RunConfig, execution: Execution, *, wait_for_others: bool = True) -> list[int]:
    """Give each worker that is free the run's next shard; ids of those that were worked on.

    With `wait_for_others`, until nothing of the run is planned any more: shards whose holders die are
    taken over. A bug that one shard meets is raised when the others are done.

    Raises:
        StorageError, DatabaseError: nothing can be kept; the shards that are left stay to be done.
        Interrupted: the run was cancelled.
    """
    with make_runner(config) as workers:
        crew = ShardScheduler(config, execution, workers)
        try:
            while crew.step() or (wait_for_others and crew.wait_for_others_step()):
                execution.check()
        except (StorageError, DatabaseError):
            raise  # shards that are being worked on get done
        except BaseException:
            crew.stop()
            raise
    crew.raise_bugs()
    return crew.worked


@dataclass(slots=True)
class ShardScheduler:
    """The workers of this execution, and what each is at."""

    config: RunConfig
    execution: Execution
    workers: Workers
    working: dict[PrefectFuture[str], int] = field(default_factory=dict)
    worked: list[int] = field(default_factory=list)
    ended: "SimpleQueue[PrefectFuture[str]]" = field(default_factory=SimpleQueue)
    bugs: list[Exception] = field(default_factory=list)

    def step(self) -> bool:
        """Keep everybody at work for a moment; False: there is nothing to do and nobody works."""
        while len(self.working) < self.config.workers and (shard := self._claim()):
            self._begin(*shard)
        if not self.working:
            return False
        with suppress(Empty):
            self._take(self.ended.get(timeout=TICK_S))
        return True

    @_again_when_cut_off
    def wait_for_others_step(self) -> bool:
        """Wait a moment if others work on this run; what they leave behind is free then."""
        database, run_id = database_of(self.execution.home), self.config.run_id()
        with database.session() as session:
            if not claimed_by_others(session, run_id, self.execution.id):
                return False
        time.sleep(TICK_S)
        bury_the_dead(self.execution.home)
        return True

    def stop(self) -> None:
        """Let others have what is not done; our workers see that between two batches."""
        with suppress(DatabaseError), database_of(self.execution.home).transaction() as session:
            release_shards(session, self.execution.id)

    def raise_bugs(self) -> None:
        for bug in self.bugs:
            raise bug

    @_again_when_cut_off
    def _claim(self) -> tuple[int, str] | None:
        """A shard's id and what it is called."""
        with database_of(self.execution.home).transaction() as session:
            self.execution.give_sign_of_life(session)  # whoever has a shard can be found dead
            shard = claim_shard(session, self.config.run_id(), self.execution.id)
            return (shard.id, title_of_shard(session, shard)) if shard else None

    def _begin(self, shard_id: int, title: str) -> None:
        home, claimed_by = self.execution.home.root, self.execution.id
        shard = {"shard_id": shard_id, "claimed_by": claimed_by, "title": title}
        future = self.workers.submit(label_shard_task, shard | {"config": self.config, "home": home})
        self.working[future] = shard_id
        if shard_id not in self.worked:  # else somebody died of it
            self.worked.append(shard_id)
        future.add_done_callback(self.ended.put)

    def _take(self, future: PrefectFuture[str]) -> None:
        shard_id = self.working.pop(future)
        outcome = self.workers.outcome_of(future)
        if isinstance(outcome, StorageError | DatabaseError):
            raise outcome
        if isinstance(outcome, WorkerLost):
            self._give_back(shard_id, outcome)
        elif isinstance(outcome, Exception):
            self.bugs.append(outcome)
        elif outcome == "done":
            self._check_kept(shard_id)

    @_again_when_cut_off
    def _check_kept(self, shard_id: int) -> None:
        """A worker with another database would do everything well, and for nobody."""
        with database_of(self.execution.home).session() as session:
            if session.get_one(ShardRow, shard_id).state == "planned":
                raise OtherDatabase(f"shard {shard_id} is not done, though a worker said so: {SAME_DATABASE}")

    @_again_when_cut_off
    def _give_back(self, shard_id: int, lost: WorkerLost) -> None:
        """A shard whose worker died is anybody's again, unless it seems to be what they die of."""
        with database_of(self.execution.home).transaction() as session:
            deaths = release_shard(session, shard_id, self.execution.id, died=True)
            if deaths >= MAX_DEATHS:
                fail_shard(session, shard_id, WorkerLost(f"{deaths} workers died at this shard: {lost}"))
