"""One shard, from its row in the ledger to its rows in the ledger."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Cancelled
from sqlalchemy.orm import Session

from configs.errors import MaskmillError
from configs.models import RunConfig
from db.connection.database import Database
from db.models.core import ShardRow
from db.runs.leases import holds_shard
from db.runs.queries import shard_clip
from db.runs.writes import fail_shard, store_shard
from labeling.errors import (
    DatabaseError,
    DatabaseUnreachable,
    DiskFull,
    HomeNotWritable,
    Interrupted,
    OtherDatabase,
    StorageError,
    StoreDenied,
    StoreUnreachable,
)
from labeling.pipeline import label_shard
from labeling.runtime.memory import release_memory
from labeling.storage.home import Home
from tasks.execution.database import SAME_DATABASE, database_of, database_of_run
from tasks.execution.models import load_models
from tasks.execution.slots import gpu_slot

CHECK_S = 1.0
"""How often a worker asks whether its shard is still its own."""
_NOT_FINISHED = "not finished: it waits for the next run, or for others"


def work_on_shard(shard_id: int, config: RunConfig, home: Home, claimed_by: str | None = None) -> str:
    """Label one shard and commit it whole; returns its state, or `released` if the claim ended first.

    A failure that is the shard's own is stored with it, and the run goes on. A failure of the
    storage is everybody's and is raised: the shard stays as it was.

    Raises:
        StorageError, DatabaseError: nothing can be kept at the moment.
    """
    database = database_of_run(config, home)
    with database.session() as session:
        shard = _find_shard(session, shard_id, config)
        clip = shard_clip(session, shard, home)
    if shard.state == "done":
        return "done"
    check = _claim_checker(database, shard_id, claimed_by) if claimed_by else _unclaimed
    try:
        with gpu_slot(config, check):
            labeled = label_shard(clip, load_models(config), config, home, check)
    except Interrupted:
        return "released"
    except (StorageError, DatabaseError):
        raise
    except MaskmillError as error:
        with database.transaction() as session:
            fail_shard(session, shard_id, error)
        return "failed"
    with database.transaction() as session:
        store_shard(session, shard, labeled)
    release_memory()
    return "done"


def _find_shard(session: Session, shard_id: int, config: RunConfig) -> ShardRow:
    shard = session.get(ShardRow, shard_id)
    if shard is None or shard.run_id != config.run_id():
        raise OtherDatabase(f"run {config.run_id()} has no shard {shard_id} here: {SAME_DATABASE}")
    return shard


def _unclaimed() -> None:
    """Nobody else can take it."""


def _claim_checker(database: Database, shard_id: int, claimed_by: str) -> Callable[[], None]:
    """What raises Interrupted once the claim is gone: the run was cancelled, or we were taken for dead."""
    next_look = time.monotonic() + CHECK_S

    def check() -> None:
        nonlocal next_look
        if time.monotonic() < next_look:
            return
        with suppress(DatabaseUnreachable), database.session() as session:  # the next look, or storing, tells
            if not holds_shard(session, shard_id, claimed_by):
                raise Interrupted(f"shard {shard_id} was taken back")
        next_look = time.monotonic() + CHECK_S

    return check


def _may_pass(_task: object, _run: object, state: State[str]) -> bool:
    """Whether trying a shard again soon may help: it does not where there is no room, or no right to write,
    or where a store was asked for a minute."""
    final = DiskFull | HomeNotWritable | StoreDenied | StoreUnreachable
    return not isinstance(state.result(raise_on_failure=False), final)


@task(
    name="label-shard",
    task_run_name="{title}",
    retries=2,
    retry_delay_seconds=2,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def label_shard_task(shard_id: int, config: RunConfig, home: Path, claimed_by: str, title: str) -> str:
    """`work_on_shard` under Prefect's eyes: retried where the storage or database hiccuped.

    `title` names video and range wherever Prefect shows the shard, as cancelled where it was not finished.
    """
    state = work_on_shard(shard_id, config, Home(home), claimed_by)
    _log_shard(shard_id, title, state, Home(home))
    if state == "released":
        # whoever asks the future gets the data of the state
        return Cancelled(message=_NOT_FINISHED, data=state)  # type: ignore[return-value]  # Prefect takes it
    return state


def _log_shard(shard_id: int, title: str, state: str, home: Home) -> None:
    with database_of(home).session() as session:
        shard = session.get_one(ShardRow, shard_id)
    if state == "failed":
        get_run_logger().warning("%s: failed: %s: %s", title, shard.error_code, shard.error_message)
    elif state == "released":
        get_run_logger().warning("%s: %s", title, _NOT_FINISHED)
    else:
        frames = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in shard.counts.items())
        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in shard.seconds.items())
        get_run_logger().info("%s: %s: frames: %s; %s", title, state, frames or "none", stages)
