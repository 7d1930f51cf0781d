"""The scheduler that gives a run's shards to workers."""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from prefect.futures import PrefectFuture
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from configs.errors import DatabaseError, DatabaseUnreachable, OtherDatabase, StorageError, WorkerLost
from configs.models import RunConfig
from db.models.core import ShardRow
from db.runs.leases import MAX_CRASHES, claim_shard, leased_by_others, release_shard, release_shards
from db.runs.overview import title_of_shard
from db.runs.writes import fail_shard
from flows.runners.select import Workers, make_runner
from tasks.execution.context import SAME_DATABASE, Context
from tasks.execution.leases import Lease, recover_stale_leases
from tasks.label import label_shard_task

TICK_S = 1.0
"""How often a waiting flow checks whether it was cancelled and whether a shard is free."""

_retry_unreachable = retry(
    retry=retry_if_exception_type(DatabaseUnreachable),
    stop=stop_after_attempt(3),
    wait=wait_fixed(TICK_S),
    reraise=True,
)
"""Repeat a transaction that a restart of the database interrupted; the new connection waits for it."""


def process_shards(
    context: Context, config: RunConfig, lease: Lease, *, wait_for_others: bool = True
) -> list[int]:
    """Give each free worker the run's next shard; return the ids of the shards that were worked on.

    With `wait_for_others`, continue until no shard of the run is planned: shards of crashed holders are taken
    over. An unexpected exception in one shard is raised after the other shards are done.
    """
    with make_runner(config) as workers:
        scheduler = ShardScheduler(context, config, lease, workers)
        try:
            while scheduler.step() or (wait_for_others and scheduler.wait_for_others_step()):
                lease.check()
        except (StorageError, DatabaseError):
            raise  # shards in progress are still finished
        except BaseException:
            scheduler.stop()
            raise
    scheduler.raise_bugs()
    return scheduler.worked


@dataclass(slots=True)
class ShardScheduler:
    """The workers of this run, and the shard of each."""

    context: Context
    config: RunConfig
    lease: Lease
    workers: Workers
    working: dict[PrefectFuture[str], int] = field(default_factory=dict)
    worked: list[int] = field(default_factory=list)
    ended: "SimpleQueue[PrefectFuture[str]]" = field(default_factory=SimpleQueue)
    bugs: list[Exception] = field(default_factory=list)

    def step(self) -> bool:
        """Give shards to all free workers, then wait a moment; return False if there is nothing left to do."""
        while len(self.working) < self.config.workers and (shard := self._claim()):
            self._begin(*shard)
        if not self.working:
            return False
        with suppress(Empty):
            self._take(self.ended.get(timeout=TICK_S))
        return True

    @_retry_unreachable
    def wait_for_others_step(self) -> bool:
        """Wait a moment if others work on this run, and recover the shards of those that crashed."""
        with self.context.database.session() as session:
            if not leased_by_others(session, self.config.run_id(), self.lease.id):
                return False
        time.sleep(TICK_S)
        recover_stale_leases(self.context.home)
        return True

    def stop(self) -> None:
        """Release the unfinished shards for others; our workers notice it between two batches."""
        with suppress(DatabaseError), self.context.database.transaction() as session:
            release_shards(session, self.lease.id)

    def raise_bugs(self) -> None:
        for bug in self.bugs:
            raise bug

    @_retry_unreachable
    def _claim(self) -> tuple[int, str] | None:
        """Claim the next shard; return its id and title."""
        with self.context.database.transaction() as session:
            self.lease.record_heartbeat(session)  # so that the holder of a shard always has a lease
            shard = claim_shard(session, self.config.run_id(), self.lease.id)
            return (shard.id, title_of_shard(session, shard)) if shard else None

    def _begin(self, shard_id: int, title: str) -> None:
        parameters = {
            "shard_id": shard_id,
            "config": self.config,
            "home": self.context.home.root,
            "leased_by": self.lease.id,
            "title": title,
        }
        future = self.workers.submit(label_shard_task, parameters)
        self.working[future] = shard_id
        if shard_id not in self.worked:  # it is, if a worker crashed on it
            self.worked.append(shard_id)
        future.add_done_callback(self.ended.put)

    def _take(self, future: PrefectFuture[str]) -> None:
        shard_id = self.working.pop(future)
        outcome = self.workers.outcome_of(future)
        if isinstance(outcome, StorageError | DatabaseError):
            raise outcome
        if isinstance(outcome, WorkerLost):
            self._requeue(shard_id, outcome)
        elif isinstance(outcome, Exception):
            self.bugs.append(outcome)
        elif outcome == "done":
            self._check_stored(shard_id)

    @_retry_unreachable
    def _check_stored(self, shard_id: int) -> None:
        """Raise OtherDatabase if a worker stored the shard in another database."""
        with self.context.database.session() as session:
            if session.get_one(ShardRow, shard_id).state == "planned":
                raise OtherDatabase(
                    f"a worker reported shard {shard_id} as done, but it is not done in this database: {SAME_DATABASE}"
                )

    @_retry_unreachable
    def _requeue(self, shard_id: int, lost: WorkerLost) -> None:
        """Requeue a shard whose worker crashed; fail it after MAX_CRASHES crashes."""
        with self.context.database.transaction() as session:
            attempts_lost = release_shard(session, shard_id, self.lease.id, worker_lost=True)
            if attempts_lost >= MAX_CRASHES:
                message = f"{attempts_lost} workers or runs crashed on this shard, the last worker so: {lost}"
                fail_shard(session, shard_id, WorkerLost(message))
