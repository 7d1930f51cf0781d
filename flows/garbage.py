"""The flow that deletes what no run needs any more, for a schedule; like `maskmill gc --delete`."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from flows.home import complete_if_nothing_to_do, existing_context, whole_path
from tasks.execution.leases import hold_lease
from tasks.garbage import Ages, Garbage, collect_garbage


@flow(name="collect-garbage", flow_run_name="collect garbage", persist_result=False)
@complete_if_nothing_to_do
def collect_garbage_flow(
    home: Path = Path(".maskmill"),
    older_than: float = 1.0,
    runs_older_than: float = 30.0,
    retention: float | None = None,
    delete: bool = False,
) -> Garbage:
    """Find images that no run refers to, and predictions of superseded runs.

    Args:
        home: folder with the database and the images.
        older_than: minimum age of a file, in days.
        runs_older_than: days since a superseded run was last worked on.
        retention: days after which the other runs that were never reviewed are treated alike; None: never.
        delete: delete them; otherwise only list them.
    """
    context = existing_context(whole_path(home, "home"))
    with hold_lease(context.home, "collect-garbage"):
        found = collect_garbage(context, Ages(older_than, runs_older_than, retention), delete=delete)
    get_run_logger().info(
        "%s: %d images, %d files of predictions, %d unfinished files, %d bytes; %d runs",
        "deleted" if delete else "not needed",
        *(found.images, found.predictions, found.unfinished, found.bytes, len(found.runs)),
    )
    return found


if __name__ == "__main__":
    collect_garbage_flow.serve("collect-garbage")
