"""Videos in, hard frames with COCO masks out."""

from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path

from prefect import flow
from prefect.futures import as_completed
from prefect.logging import get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from configs.load import load_config
from configs.models import RunConfig
from db.ledger import begin_run, keep_models
from db.queries import RunSummary, failed_specs, pending_shards
from labeling.errors import ConfigError, DatabaseError, StorageError
from labeling.sources import refuse_passwords, remove_leftovers
from labeling.storage import Home
from tasks.ingest import ingest_source_task, ingest_spec
from tasks.label import label_shard_task
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
    place, run_id = _open_home(home), config.run_id()
    remove_leftovers(place.videos)
    _begin_run(config, name, place)
    models = load_models(config)  # before anything is fetched: missing weights are known at once
    with ledger_of(place).transaction() as session:
        keep_models(session, run_id, {"teacher": models.teacher.card, "student": models.student.card})
        sources = sources + (failed_specs(session, run_id) if retry_failed else [])
    ingests = [ingest_source_task(spec, run_id, config, place.root, return_state=True) for spec in sources]
    ingested = [state.result() for state in ingests if state.is_completed()]
    videos = dict.fromkeys(chain.from_iterable(found.videos for found in ingested))
    with ledger_of(place).session() as session:
        shards = pending_shards(session, run_id, list(videos), retry_all=retry_failed)
    get_run_logger().info("run %s: %d shards to do", run_id, len(shards))
    if shards:
        _work_on_shards(shards, config, place)
    failed = list(chain.from_iterable(found.failed for found in ingested))
    summary = close_run_task(run_id, place.root, failed, shards)
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
        if pending_shards(session, run_id, []):
            return None
    failed = [spec for path in paths for spec in ingest_spec(path, run_id, config, place).failed]
    return close_run(run_id, place, failed_specs=failed)


def _open_home(home: Path) -> Home:
    place = Home(home.expanduser().resolve())
    place.create()
    return place


def _begin_run(config: RunConfig, name: str, place: Home) -> None:
    whole = config.model_dump(mode="json")
    with ledger_of(place).transaction() as session:
        begin_run(session, config.run_id(), name=name, config=whole, code_version=version("maskmill"))


def _work_on_shards(shards: list[int], config: RunConfig, home: Home) -> None:
    """Give each worker that is free the next shard, until all are done or nothing can be kept.

    A bug that one shard meets is raised when the others are done.

    Raises:
        StorageError, DatabaseError: nothing can be kept; the shards that are left stay to be done.
    """
    runner: ThreadPoolTaskRunner[str] = ThreadPoolTaskRunner(max_workers=config.workers)
    common = {"config": config, "home": home.root}
    ended = []
    with runner:  # on an error it waits for the shards that are being worked on
        waiting = (runner.submit(label_shard_task, {"shard_id": shard} | common) for shard in shards)
        running = set(islice(waiting, config.workers))
        while running:
            future = next(as_completed(list(running)))
            outcome = future.result(raise_on_failure=False)
            if isinstance(outcome, StorageError | DatabaseError):
                raise outcome
            ended.append(future)
            running = running - {future} | set(islice(waiting, 1))
    for future in ended:
        future.result()


if __name__ == "__main__":
    generate_dataset.serve("generate-dataset")
