"""Decide about a run's frames again with other settings: the kept predictions are used, nothing is fetched."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from configs.changes import changes_between
from configs.errors import ConfigError
from configs.load import change_config
from configs.models import RunConfig
from db.models.core import RunRow
from db.runs.leases import claim_shard
from db.runs.overview import run_work
from db.runs.queries import RunSummary, first_of_name, latest_run
from db.runs.writes import copy_sources, record_models, upsert_run
from labeling.segmenters.factory import load_models
from labeling.segmenters.kept import PredictionKeeper
from tasks.close import Execution, close_run
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


@dataclass(frozen=True, slots=True)
class DecisionPlan:
    """What is to be decided again, and from which run it starts."""

    old: RunRow
    config: RunConfig
    """Settings of the new run: those of the old one with the changes."""
    old_changes: tuple[str, ...]
    """Settings in which the old run differs from the first one of its name: the new run has them too."""
    frames: int
    """Sampled frames of the old run."""
    changed_models: tuple[str, ...]
    """`teacher`, `student`: their settings differ, so that their kept predictions do not count."""
    seconds: float
    """Time that these models took for the frames in the old run."""


def plan_decision(context: Context, run_id: str | None, changes: Sequence[str]) -> DecisionPlan:
    """Return what `decide_again` would do with a run, the latest by default, and changes such as `batch=2`.

    Raises:
        ConfigError: the changes change nothing, or how videos are cut into shards.
    """
    with context.database.session() as session:
        old = latest_run(session, run_id)
        work, first = run_work(session, old.id), first_of_name(session, old.name)
    before = change_config(old.config, (), f"of run {old.id}")
    config = _changed_config(old, before, changes)
    models = tuple(role for role in ("teacher", "student") if getattr(config, role) != getattr(before, role))
    return DecisionPlan(
        old,
        config,
        old_changes=tuple(changes_between(first.config, old.config)),
        frames=work.counts.get("sampled", 0),
        changed_models=models,
        seconds=sum(work.seconds.get(role, 0.0) for role in models),
    )


def decide_again(context: Context, plan: DecisionPlan) -> Decided:
    """Make the new run over the sources of the old one; the same again continues it."""
    config = plan.config
    keeper = PredictionKeeper(context.home.predictions)
    with hold_lease(context.home, "generate-dataset") as lease:
        _begin(context, plan.old, config)
        while (shard_id := _claim(context, config, lease)) is not None:
            process_shard(context, shard_id, config, lease.id, keeper)
    summary = close_run(context, config.run_id(), Execution())
    return Decided(summary, keeper.known, keeper.computed)


def _changed_config(old: RunRow, before: RunConfig, changes: Sequence[str]) -> RunConfig:
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
