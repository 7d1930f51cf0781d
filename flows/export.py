"""A run's frames as a dataset, again and again."""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from configs.models import ExportedDecision, ExportFormat
from flows.home import complete_if_no_run, existing_home, whole_path
from labeling.datasets.records import ExportSummary
from labeling.storage.home import Home
from labeling.storage.object_store import local_path
from tasks.execution.leases import at_work
from tasks.export import ExportOrder, write_dataset
from tasks.observability.assets import trace_dataset


@flow(name="export-dataset", flow_run_name="export {format}", persist_result=False)
@complete_if_no_run
def export_dataset(
    out: str,
    home: Path = Path(".maskmill"),
    format: ExportFormat = "coco",
    run: str = "",
    decisions: tuple[ExportedDecision, ...] = ("accepted", "reviewed"),
) -> ExportSummary:
    """Write a run's frames as a dataset; an earlier export in the folder is replaced once this one is whole.

    Args:
        out: folder or URL (`s3://bucket/dataset`) to write.
        home: folder with the database and the images.
        format: COCO, Ultralytics' polygons, or one PNG per frame.
        run: id of the run, or its start; empty: the one that was worked on last.
        decisions: which frames: accepted, reviewed, review, easy.
    """
    order = ExportOrder(format, tuple(decisions), run or None)
    place = existing_home(whole_path(home, "home"))
    with at_work(place, "export-dataset"):
        return write_dataset_task(place.root, _whole_target(out), order)


def _whole_target(out: str) -> str:
    if "://" in out:
        return out
    return str(whole_path(Path(out), "out"))


@task(name="write-dataset", cache_policy=NO_CACHE, persist_result=False)
def write_dataset_task(home: Path, target: str, order: ExportOrder) -> ExportSummary:
    """`write_dataset`, with what it says in the run's log and the dataset's lineage."""
    written = write_dataset(Home(home), target, order)
    get_run_logger().info("%d frames with %d instances in %s", written.frames, written.instances, target)
    if folder := local_path(target):
        counts = {"frames": written.frames, "instances": written.instances}
        trace_dataset(Home(home), order.run, folder, counts)
    for note in written.notes:
        get_run_logger().info(note)
    return written
