"""Decide about a run's frames again with other settings: the kept predictions are used, nothing is fetched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from configs.errors import ConfigError
from configs.load import change_config
from configs.models import RunConfig
from db.models.core import RunRow
from db.runs.leases import claim_shard
from db.runs.queries import RunSummary, latest_run, shard_progress
from db.runs.writes import copy_sources, record_models, upsert_run
from labeling.segmenters.factory import load_models
from labeling.segmenters.kept import PredictionKeeper
from tasks.close import close_run
from tasks.execution.context import Context
from tasks.execution.leases import Lease, hold_lease
from tasks.label import process_shard


@dataclass(frozen=True, slots=True)
class Decided:
    """A new run over the frames of another one."""

    summary: RunSummary
    known: int
    """Predictions that were kept."""
    computed: int
    """Predictions that had to be made: by changed models, of new frames, or by models that are not kept."""


def decide_again(
    context: Context,
    run_id: str | None,
    changes: Sequence[str],
    on_progress: Callable[[int, int], None] | None = None,
) -> Decided:
    """Make a run with the sources of another one and changed settings; the same again continues it.

    `on_progress` is called with the number of shards that are done, and of all.

    Raises:
        ConfigError: the changes change nothing, or how videos are cut into shards.
    """
    with context.database.session() as session:
        old = latest_run(session, run_id)
    config = _changed_config(old, changes)
    keeper = PredictionKeeper(context.home.predictions)
    with hold_lease(context.home, "generate-dataset") as lease:
        _begin(context, old, config)
        while (shard_id := _claim(context, config, lease)) is not None:
            process_shard(context, shard_id, config, lease.id, keeper)
            with context.database.session() as session:
                if on_progress:
                    on_progress(*shard_progress(session, config.run_id()))
    summary = close_run(context, config.run_id())
    return Decided(summary, keeper.known, keeper.computed)


def _changed_config(old: RunRow, changes: Sequence[str]) -> RunConfig:
    before = change_config(old.config, (), f"of run {old.id}")
    config = change_config(old.config, changes, f"of run {old.id}")
    if config.run_id() == old.id:
        raise ConfigError(
            f"these changes leave run {old.id} as it is: change a setting, for example agreement.hard_below=0.6"
        )
    for name in ("shard_s", "shard_images"):
        if getattr(config.sampling, name) != getattr(before.sampling, name):
            raise ConfigError(f"sampling.{name} cannot be changed here: use `maskmill run` with the sources")
    return config


def _begin(context: Context, old: RunRow, config: RunConfig) -> None:
    """Record the run, with the sources and shards of the old one."""
    models, run_id = load_models(config), config.run_id()
    tree = config.model_dump(mode="json")
    with context.database.transaction() as session:
        upsert_run(session, run_id, name=old.name, config=tree, code_version=version("maskmill"))
        record_models(session, run_id, {"teacher": models.teacher.card, "student": models.student.card})
        copy_sources(session, old.id, run_id)


def _claim(context: Context, config: RunConfig, lease: Lease) -> int | None:
    with context.database.transaction() as session:
        lease.record_heartbeat(session)
        shard = claim_shard(session, config.run_id(), lease.id)
        return shard.id if shard else None
