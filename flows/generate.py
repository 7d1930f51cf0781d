"""The flow that makes a dataset: videos in, hard frames with COCO masks out."""

from itertools import chain
from pathlib import Path
from typing import cast

from prefect import flow, runtime
from prefect.logging import get_run_logger

from configs.errors import ConfigError, Interrupted
from configs.load import load_config
from configs.models import RunConfig
from db.runs.queries import RunSummary, failed_specs, planned_shards
from db.runs.writes import requeue_failed
from flows.home import whole_path
from flows.runners.select import check_runner
from flows.runners.shards import process_shards
from labeling.segmenters.requirements import choose_preset
from labeling.sources.content_store import remove_leftovers
from labeling.sources.titles import run_title
from labeling.sources.url_policy import refuse_passwords
from labeling.storage.home import Home
from tasks.begin import begin_run
from tasks.close import Execution, close_run_task
from tasks.execution.context import Context, open_context
from tasks.execution.leases import Lease, cancelled, hold_lease, recover_stale_leases
from tasks.ingest import ingest_source_task
from tasks.observability.final_state import final_state
from tasks.observability.progress import show_progress
from tasks.observability.publish import publish_run
from tasks.students.registry import with_registered_student


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    preset = parameters.get("name") or ("custom" if parameters.get("config") else choose_preset().name)
    return run_title(parameters.get("sources") or [], preset)


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
        config: the run; none: the preset `name`, or the best one whose parts are installed.
        name: the config's name in summaries and reports.
        home: folder for the database and the images.
        retry_failed: try failed sources and shards of this run again.

    Raises:
        NoSourceReadable: everything failed; it has the summary.
    """
    if not (sources or retry_failed):
        raise ConfigError("no sources: name a file, folder, glob, archive, list, URL or camera")
    refuse_passwords(sources)
    name = name or ("" if config else choose_preset().name)
    config = config or load_config(name)
    check_runner(config)
    context = _create_home(home)
    config = with_registered_student(config, context.home)
    try:
        with hold_lease(context.home, "generate-dataset") as lease:
            recover_stale_leases(context.home)
            remove_leftovers(context.home.videos)
            begin_run(context, config, name)  # loads the models first: missing weights are reported at once
            with context.database.session() as session:
                sources = sources + (failed_specs(session, config.run_id()) if retry_failed else [])
            return _generate(context, sources, config, lease, retry_failed=retry_failed)
    except Interrupted as error:
        return cancelled(error)  # type: ignore[no-any-return]  # Prefect accepts a state as the result


def _create_home(home: Path) -> Context:
    created = Home(whole_path(home, "home"))
    created.create()
    return open_context(created)


def _generate(
    context: Context, sources: list[str], config: RunConfig, lease: Lease, *, retry_failed: bool
) -> RunSummary:
    run_id = config.run_id()
    states = []
    for spec in sources:
        lease.check()
        states.append(ingest_source_task(context, spec, run_id, config, return_state=True))
    ingested = [state.result() for state in states if state.is_completed()]
    videos = dict.fromkeys(chain.from_iterable(source.videos for source in ingested))
    with context.database.transaction() as session:
        requeue_failed(session, run_id, list(videos), every=retry_failed)
        planned = planned_shards(session, run_id)
    get_run_logger().info("run %s: %d shards to do", run_id, len(planned))
    with show_progress(context, run_id, len(planned)):
        worked = process_shards(context, config, lease) if planned else []
    failed = list(chain.from_iterable(source.failed for source in ingested))
    summary = close_run_task(context, run_id, Execution(sources, failed, list(videos), worked))
    publish_run(context, summary)
    for state in states:
        state.result()  # an error that is not a SourceError is raised after everything else is done
    asked = sum(len(source.videos) + len(source.failed) for source in ingested)
    # the caller of a flow gets the data of the state that it returns
    return cast(RunSummary, final_state(summary, sources=asked))


if __name__ == "__main__":
    generate_dataset.serve("generate-dataset")
