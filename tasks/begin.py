"""The beginning of a run, and a run of which nothing is left to do."""

from collections.abc import Sequence
from importlib.metadata import version

from configs.models import RunConfig
from configs.shipped import unused_calibration
from db.runs.queries import RunSummary, is_complete, planned_shards, specs_read
from db.runs.writes import record_models, upsert_run
from labeling.segmenters.factory import forget_models, load_models
from labeling.segmenters.models import calibration_warning
from labeling.sources.expand import expand_sources
from labeling.sources.source import SourceItem
from labeling.storage.home import Home
from labeling.trust.promise import describe_shortages
from tasks.close import Execution, close_run
from tasks.describe import describe_run
from tasks.execution.context import Context, has_database, open_context
from tasks.execution.direct import run_logger
from tasks.execution.leases import hold_lease, recover_stale_leases
from tasks.ingest import ingest_spec
from tasks.observability.best_effort import has_server


def begin_run(context: Context, config: RunConfig, name: str) -> None:
    """Load the models, and record the run with their cards; free them if worker processes load their own.

    A run whose models cannot be loaded is not recorded.
    """
    models = load_models(config)
    cards = {role: getattr(models, role).card for role in config.segmenters()}
    run_logger().info(describe_run(config, cards))
    unfit = (calibration_warning(config, cards["teacher"]), unused_calibration(config))
    for warning in filter(None, (*unfit, *describe_shortages(config.trust))):
        run_logger().warning(warning)
    tree = config.model_dump(mode="json")
    with context.database.transaction() as session:
        upsert_run(session, config.run_id(), name=name, config=tree, code_version=version("maskmill"))
        record_models(session, config.run_id(), {role: cards[role] for role in ("teacher", "student")})
    if config.runner != "threads":
        del models
        forget_models()


def repeat_finished_run(home: Home, specs: Sequence[str], config: RunConfig, name: str) -> RunSummary | None:
    """Read sources again that a run has read completely, and close it; None: something is left to do, or may be.

    It is None with a permanent Prefect server too: its users see a flow run that had nothing to do. Cameras, archives
    and new sources always may have something. The models are loaded, and their weights compared, as for every run.

    Raises:
        ConfigError: the weights of a model changed.
    """
    if has_server() or not has_database(home):
        return None
    context, run_id = open_context(home), config.run_id()
    with context.database.session() as session:
        if not is_complete(session, run_id):
            return None
        known = specs_read(session, run_id)
    if not all(isinstance(item, SourceItem) and item.spec in known for item in expand_sources(specs)):
        return None
    with hold_lease(context.home, "generate-dataset"):
        recover_stale_leases(context.home)  # a run that was killed after its last shard left one
        begin_run(context, config, name)
        ingested = [ingest_spec(context, spec, run_id, config) for spec in specs]
        with context.database.session() as session:
            if planned_shards(session, run_id) or any(source.failed for source in ingested):
                return None
        videos = {video for source in ingested for video in source.videos}
        return close_run(context, run_id, Execution(specs, videos=videos))
