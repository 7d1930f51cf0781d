"""Videos in, hard frames with COCO masks out."""

from importlib.metadata import version
from itertools import chain
from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from configs.load import load_config
from configs.models import RunConfig
from db.ledger import begin_run, keep_models, requeue_failed
from db.queries import RunSummary, failed_specs, planned_shards
from flows.home import whole_path
from flows.shards import work_on_shards
from labeling.errors import ConfigError, Interrupted
from labeling.sources import refuse_passwords, remove_leftovers
from labeling.storage import Home
from tasks.executions import Execution, at_work, bury_the_dead, cancelled
from tasks.ingest import ingest_source_task, ingest_spec
from tasks.ledger import ledger_of
from tasks.models import load_models
from tasks.summary import close_run, close_run_task


@flow(name="generate-dataset", persist_result=False)
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
        home: folder for the database and the pictures.
        retry_failed: the sources and shards of this run that failed are tried again too.
    """
    if not (sources or retry_failed):
        raise ConfigError("no sources: name a file, folder, glob, archive, list, URL or camera")
    refuse_passwords(sources)
    name = name or ("" if config else "default")
    config = config or load_config(name)
    place = _open_home(home)
    bury_the_dead(place)
    remove_leftovers(place.videos)
    _begin_run(config, name, place)
    models = load_models(config)  # before anything is fetched: missing weights are known at once
    with ledger_of(place).transaction() as session:
        cards = {"teacher": models.teacher.card, "student": models.student.card}
        keep_models(session, config.run_id(), cards)
        sources = sources + (failed_specs(session, config.run_id()) if retry_failed else [])
    try:
        with at_work(place, "generate-dataset") as execution:
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
    with ledger_of(place).transaction() as session:
        requeue_failed(session, run_id, list(videos), every=retry_failed)
        planned = planned_shards(session, run_id)
    get_run_logger().info("run %s: %d shards to do", run_id, len(planned))
    worked = work_on_shards(config, execution) if planned else []
    failed = list(chain.from_iterable(found.failed for found in ingested))
    summary = close_run_task(run_id, place.root, failed, worked)
    for state in ingests:
        state.result()  # what no SourceError explains is raised when everything else is done
    return summary


def record_missing(paths: list[str], config: RunConfig, *, name: str, home: Path) -> RunSummary | None:
    """What `generate_dataset` says of paths where nothing is, without the seconds that Prefect takes to
    start; None if an earlier time left this run something to do.

    Raises:
        StorageError, DatabaseError: it cannot be kept.
    """
    place, run_id = _open_home(home), config.run_id()
    _begin_run(config, name, place)
    with ledger_of(place).session() as session:
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
    with ledger_of(place).transaction() as session:
        begin_run(session, config.run_id(), name=name, config=whole, code_version=version("maskmill"))


if __name__ == "__main__":
    generate_dataset.serve("generate-dataset")
