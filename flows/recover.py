"""Recovery of runs whose machine is gone; `serve` and `worker` recover those of their own machine."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from flows.home import whole_path
from labeling.storage.home import Home
from tasks.execution.leases import Buried, at_work, bury_the_dead
from tasks.execution.zombies import crash_stuck_flow_runs
from tasks.observability.best_effort import log_prefect_errors


@flow(name="recover", flow_run_name="recover", persist_result=False)
def recover(home: Path = Path(".maskmill")) -> list[Buried]:
    """Free the shards of runs whose process is gone, and set those runs to Crashed in Prefect.

    Args:
        home: folder with the database, unless MASKMILL_DATABASE_URL names another.
    """
    place = Home(whole_path(home, "home"))
    place.create()  # a schedule may start this before the first run
    with at_work(place, "recover"):
        expired = bury_the_dead(place)
        for lease in expired:
            get_run_logger().warning(
                "run %s (%s) has crashed; %d shards are free", lease.id, lease.place, lease.shards
            )
        with log_prefect_errors("stuck runs keep their state in Prefect"):
            for name in crash_stuck_flow_runs(place, orphans=True):
                get_run_logger().warning("run %s crashed outside its lease", name)
    return expired


if __name__ == "__main__":
    recover.serve("recover", interval=600)
