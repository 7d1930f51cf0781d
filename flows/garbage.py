"""What nothing needs any more is taken away, as `maskmill gc --delete` does, on a schedule."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from flows.home import complete_if_no_run, existing_home, whole_path
from tasks.execution.leases import at_work
from tasks.garbage import Ages, Garbage, collect_garbage


@flow(name="collect-garbage", flow_run_name="collect garbage", persist_result=False)
@complete_if_no_run
def collect_garbage_flow(
    home: Path = Path(".maskmill"),
    older_than: float = 1.0,
    runs_older_than: float = 30.0,
    delete: bool = False,
) -> Garbage:
    """Find images that no run refers to and predictions whose place others have taken.

    Args:
        home: folder with the database and the images.
        older_than: days that a file must be old.
        runs_older_than: days that nobody may have worked on a superseded run.
        delete: take them away; otherwise they are told only.
    """
    place = existing_home(whole_path(home, "home"))
    with at_work(place, "collect-garbage"):
        found = collect_garbage(place, Ages(older_than, runs_older_than), delete=delete)
    get_run_logger().info(
        "%s: %d images, %d unfinished files, %d bytes; %d runs",
        "deleted" if delete else "nothing needs",
        *(found.images, found.unfinished, found.bytes, len(found.runs)),
    )
    return found


if __name__ == "__main__":
    collect_garbage_flow.serve("collect-garbage")
