"""The flow that helps with a run."""

from pathlib import Path

from prefect import flow

from configs.errors import ConfigError, Interrupted
from configs.models import RunConfig
from db.runs.queries import latest_run
from flows.home import complete_if_nothing_to_do, existing_context, whole_path
from flows.runners.shards import process_shards
from tasks.execution.leases import cancelled, hold_lease, recover_stale_leases


@flow(name="label-shards", flow_run_name="help with {run}", persist_result=False)
@complete_if_nothing_to_do
def label_shards(run: str = "", home: Path = Path(".maskmill")) -> int:
    """Help with a run: label its free shards until none is left; return how many this flow labeled.

    Args:
        run: id of the run, or its beginning; empty: the last run.
        home: folder with the images, and the database unless MASKMILL_DATABASE_URL names another.
    """
    context = existing_context(whole_path(home, "home"))
    try:
        with hold_lease(context.home, "label-shards") as execution:
            recover_stale_leases(context.home)
            with context.database.session() as session:
                found = latest_run(session, run or None)
                config = RunConfig.model_validate(found.config)
            if config.run_id() != found.id:
                raise ConfigError(
                    f"run {found.id} was started by a version of maskmill with other settings: `maskmill run` with "
                    "its config starts it again"
                )
            return len(process_shards(context, config, execution, wait_for_others=False))
    except Interrupted as error:
        return cancelled(error)  # type: ignore[no-any-return]  # Prefect accepts a state as the result
