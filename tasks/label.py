"""Label one shard, from its row in the database to its result there; a Prefect task, run by any worker."""

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

from configs.errors import (
    DatabaseError,
    DatabaseUnreachable,
    DiskFull,
    HomeNotWritable,
    Interrupted,
    MaskmillError,
    OtherDatabase,
    StorageError,
    StoreDenied,
    StoreUnreachable,
)
from configs.models import RunConfig
from db.connection.database import Database
from db.models.core import ShardRow
from db.runs.clips import shard_clip
from db.runs.leases import holds_shard
from db.runs.writes import fail_shard, store_shard
from labeling.pipeline import label_shard
from labeling.report.wording import count_name
from labeling.runtime.frame_counts import FramesDone, forget_frames, report_frames
from labeling.runtime.memory import release_memory
from labeling.segmenters.factory import load_models
from labeling.segmenters.kept import PredictionKeeper
from labeling.storage.home import Home
from labeling.trust.shard_record import ShardRecord
from tasks.execution.context import SAME_DATABASE, Context, open_worker_context
from tasks.execution.slots import gpu_slot

CHECK_S = 1.0
"""How often a worker checks that it still holds its shard."""
_NOT_FINISHED = "not finished: the next run, or a helper of this one, continues it"


def process_shard(
    context: Context,
    shard_id: int,
    config: RunConfig,
    leased_by: str | None = None,
    keeper: PredictionKeeper | None = None,
) -> str:
    """Label one shard and commit it whole; return its state, or `released` if the claim ended first.

    What the models find is kept in the home, and looked up there first.

    A failure of the shard itself is stored with it. A failure of the storage or database concerns all
    shards: it is raised, and the shard stays as it was.
    """
    database = context.database
    with database.session() as session:
        shard = _find_shard(session, shard_id, config)
        clip = shard_clip(session, shard, context.home.absolute)
    if shard.state == "done":
        return "done"
    check = _claim_checker(database, shard_id, leased_by) if leased_by else lambda: None
    keeper = keeper or PredictionKeeper(context.home.predictions)

    def report(done: int, hard: int) -> None:
        report_frames(shard_id, FramesDone(clip.video_id, done, hard))

    try:
        with gpu_slot(config, check):
            models = keeper.wrap(load_models(config))
            record = ShardRecord.read(keeper.folder, clip, config)
            labeled = label_shard(clip, models, config, context.home, check, report=report, record=record)
        keeper.save()
    except Interrupted:
        return "released"
    except (StorageError, DatabaseError):
        raise
    except MaskmillError as error:
        with database.transaction() as session:
            fail_shard(session, shard_id, error)
        return "failed"
    finally:
        forget_frames(shard_id)
    with database.transaction() as session:
        store_shard(session, shard, labeled)
    release_memory()
    return "done"


def _find_shard(session: Session, shard_id: int, config: RunConfig) -> ShardRow:
    shard = session.get(ShardRow, shard_id)
    if shard is None or shard.run_id != config.run_id():
        raise OtherDatabase(f"run {config.run_id()} has no shard {shard_id} here: {SAME_DATABASE}")
    return shard


def _claim_checker(database: Database, shard_id: int, leased_by: str) -> Callable[[], None]:
    """Return a check that raises Interrupted if the run was cancelled or the lease was recovered by another."""
    next_check = time.monotonic() + CHECK_S

    def check() -> None:
        nonlocal next_check
        if time.monotonic() < next_check:
            return
        # a database that does not answer now is noticed by the next check, or when the shard is stored
        with suppress(DatabaseUnreachable), database.session() as session:
            if not holds_shard(session, shard_id, leased_by):
                raise Interrupted(f"shard {shard_id} was taken back")
        next_check = time.monotonic() + CHECK_S

    return check


def _may_recover(_task: object, _run: object, state: State[str]) -> bool:
    """Return whether retrying soon may help.

    It does not if the disk is full or not writable, or after a store was retried for a minute.
    """
    final = DiskFull | HomeNotWritable | StoreDenied | StoreUnreachable
    return not isinstance(state.result(raise_on_failure=False), final)


@task(
    name="label-shard",
    task_run_name="{title}",
    retries=2,
    retry_delay_seconds=2,
    retry_condition_fn=_may_recover,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def label_shard_task(shard_id: int, config: RunConfig, home: Path, leased_by: str, title: str) -> str:
    """Run `process_shard` as a Prefect task, retried after a short failure of storage or database.

    It may run in another process or on another machine, so it opens its own context.

    Args:
        title: video and range, the task run's name in Prefect.
    """
    context = open_worker_context(Home(home), config)
    state = process_shard(context, shard_id, config, leased_by)
    _log_shard(context, shard_id, title, state)
    if state == "released":
        # a future returns the data of the state
        return Cancelled(message=_NOT_FINISHED, data=state)  # type: ignore[return-value]  # Prefect accepts it
    return state


def _log_shard(context: Context, shard_id: int, title: str, state: str) -> None:
    with context.database.session() as session:
        shard = session.get_one(ShardRow, shard_id)
    if state == "failed":
        get_run_logger().warning("%s: failed: %s: %s", title, shard.error_code, shard.error_message)
    elif state == "released":
        get_run_logger().warning("%s: %s", title, _NOT_FINISHED)
    else:
        frames = ", ".join(f"{number} {count_name(name)}" for name, number in shard.counts.items())
        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in shard.seconds.items())
        get_run_logger().info("%s: %s: frames: %s; %s", title, state, frames or "none", stages)
