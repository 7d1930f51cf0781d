"""Videos in, hard frames with COCO masks out."""

from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import cast

from prefect import flow, runtime
from prefect.logging import get_run_logger

from configs.errors import ConfigError
from configs.load import load_config
from configs.models import RunConfig
from db.runs.queries import RunSummary, failed_specs, planned_shards
from db.runs.writes import record_models, requeue_failed, upsert_run
from flows.home import whole_path
from flows.label import work_on_shards
from flows.runners.select import check_runner
from labeling.errors import Interrupted
from labeling.sources.content_store import remove_leftovers
from labeling.sources.titles import run_title
from labeling.sources.url_policy import refuse_passwords
from labeling.storage.home import Home
from tasks.execution.database import database_of
from tasks.execution.leases import Execution, at_work, bury_the_dead, cancelled
from tasks.execution.models import doubt_calibration, forget_models, load_models
from tasks.ingest import ingest_source_task, ingest_spec
from tasks.observability.final_state import final_state
from tasks.observability.progress import show_progress
from tasks.observability.provenance import describe_run
from tasks.observability.summary import close_run, close_run_task, publish_run, summary_sentence


def _run_name() -> str:
    given = runtime.flow_run.parameters
    preset = given.get("name") or ("custom" if given.get("config") else "default")
    return run_title(given.get("sources") or [], preset)


@flow(name="generate-dataset", flow_run_name=_run_name, persist_result=False)
def generate_dataset(
    sources: list[str],
    config: RunConfig | None = None,
    name: str = "",
    home: Path = Path(".maskmill"),
    retry_failed: bool = False,
) -> RunSummary:
    """Find the frames of these sources that the student gets wrong, with the teacher's masks.

    Args:
        sources: files, folders, globs, archives, lists, URLs, cameras.
        config: the run; none: the preset `name`, or `default`.
        name: what the config is called in summaries and reports.
        home: folder for the database and the images.
        retry_failed: the sources and shards of this run that failed are tried again too.

    Raises:
        NoSourceReadable: all failed; it has the summary.
    """
    if not (sources or retry_failed):
        raise ConfigError("no sources: name a file, folder, glob, archive, list, URL or camera")
    refuse_passwords(sources)
    name = name or ("" if config else "default")
    config = config or load_config(name)
    check_runner(config)
    place = _open_home(home)
    try:
        with at_work(place, "generate-dataset") as execution:
            bury_the_dead(place)
            remove_leftovers(place.videos)
            _begin_run(config, name, place)
            _try_models(config, place)  # before anything is fetched: missing weights are known at once
            with database_of(place).session() as session:
                sources = sources + (failed_specs(session, config.run_id()) if retry_failed else [])
            return _generate(sources, config, execution, retry_failed=retry_failed)
    except Interrupted as error:
        return cancelled(error)  # type: ignore[no-any-return]  # Prefect takes a state for a result


def _generate(
    sources: list[str], config: RunConfig, execution: Execution, *, retry_failed: bool
) -> RunSummary:
    place, run_id = execution.home, config.run_id()
    ingests = []
    for spec in sources:
        execution.check()
        ingests.append(ingest_source_task(spec, run_id, config, place.root, return_state=True))
    ingested = [state.result() for state in ingests if state.is_completed()]
    videos = dict.fromkeys(chain.from_iterable(found.videos for found in ingested))
    with database_of(place).transaction() as session:
        requeue_failed(session, run_id, list(videos), every=retry_failed)
        planned = planned_shards(session, run_id)
    get_run_logger().info("run %s: %d shards to do", run_id, len(planned))
    with show_progress(run_id, place, len(planned)):
        worked = work_on_shards(config, execution) if planned else []
    failed = list(chain.from_iterable(found.failed for found in ingested))
    summary = close_run_task(run_id, place.root, failed, worked, len(videos))
    publish_run(summary, place)
    for state in ingests:
        state.result()  # what no SourceError explains is raised when everything else is done
    asked = sum(len(found.videos) + len(found.failed) for found in ingested)
    # whoever calls a flow gets the data of the state that it returns
    return cast(RunSummary, final_state(summary, summary_sentence(summary), sources=asked))


def record_missing(paths: list[str], config: RunConfig, *, name: str, home: Path) -> RunSummary | None:
    """What `generate_dataset` says of paths where nothing is, without the seconds that Prefect takes to
    start; None if an earlier time left this run something to do.

    Raises:
        StorageError, DatabaseError: it cannot be kept.
    """
    place, run_id = _open_home(home), config.run_id()
    _begin_run(config, name, place)
    with database_of(place).session() as session:
        if planned_shards(session, run_id):
            return None
    failed = [spec for path in paths for spec in ingest_spec(path, run_id, config, place).failed]
    return close_run(run_id, place, failed_specs=failed)


def _open_home(home: Path) -> Home:
    place = Home(whole_path(home, "home"))
    place.create()
    return place


def _begin_run(config: RunConfig, name: str, place: Home) -> None:
    whole = config.model_dump(mode="json")
    with database_of(place).transaction() as session:
        upsert_run(session, config.run_id(), name=name, config=whole, code_version=version("maskmill"))


def _try_models(config: RunConfig, place: Home) -> None:
    """Load the models and keep what they are; where others will use theirs, ours only take room."""
    models = load_models(config)
    asked = {role: getattr(models, role).card for role in config.segmenters()}
    get_run_logger().info(describe_run(config, asked))
    if doubt := doubt_calibration(config, asked["teacher"]):
        get_run_logger().warning(doubt)
    with database_of(place).transaction() as session:
        record_models(session, config.run_id(), {role: asked[role] for role in ("teacher", "student")})
    if config.runner != "threads":
        del models
        forget_models()


if __name__ == "__main__":
    generate_dataset.serve("generate-dataset")
