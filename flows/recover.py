"""Recovery of runs whose machine is gone; `serve` and `worker` recover those of their own machine."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from flows.home import whole_path
from labeling.storage.home import Home
from tasks.execution.leases import ExpiredLease, hold_lease, recover_stale_leases
from tasks.execution.zombies import crash_stuck_flow_runs
from tasks.observability.best_effort import log_prefect_errors


@flow(name="recover", flow_run_name="recover", persist_result=False)
def recover(home: Path = Path(".maskmill")) -> list[ExpiredLease]:
    """Free the shards of runs whose process is gone, and set those runs to Crashed in Prefect.

    Args:
        home: folder with the database, unless MASKMILL_DATABASE_URL names another.
    """
    resolved = Home(whole_path(home, "home"))
    resolved.create()  # a schedule may start this before the first run
    with hold_lease(resolved, "recover"):
        expired = recover_stale_leases(resolved)
        for lease in expired:
            get_run_logger().warning(
                "run %s (%s) has crashed; %d shards are free", lease.id, lease.host, lease.shards
            )
        with log_prefect_errors("stuck runs keep their state in Prefect"):
            for name in crash_stuck_flow_runs(resolved, orphans=True):
                get_run_logger().warning("run %s crashed outside its lease", name)
    return expired


if __name__ == "__main__":
    recover.serve("recover", interval=600)
