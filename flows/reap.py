"""What the dead leave behind."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from flows.home import whole_path
from labeling.storage.home import Home
from tasks.execution.leases import Buried, at_work, bury_the_dead
from tasks.execution.zombies import mark_stillborn


@flow(name="reap", flow_run_name="reap", persist_result=False)
def reap(home: Path = Path(".maskmill")) -> list[Buried]:
    """Free the shards of runs whose process is gone, and mark those runs as crashed in Prefect.

    Args:
        home: folder with the database, unless MASKMILL_DATABASE_URL names another.
    """
    place = Home(whole_path(home, "home"))
    place.create()  # on a schedule it may well come before the first run
    with at_work(place, "reap"):
        buried = bury_the_dead(place)
        stillborn = mark_stillborn(place)
    for one in buried:
        get_run_logger().warning("run %s (%s) had died; %d shards are free", one.id, one.place, one.shards)
    for name in stillborn:
        get_run_logger().warning("run %s had died before it was at work", name)
    return buried


if __name__ == "__main__":
    reap.serve("reap", interval=20)
