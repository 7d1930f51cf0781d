"""A run's frames as a dataset, again and again."""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from configs.models import ExportedDecision, ExportFormat
from flows.home import existing_home, whole_path
from labeling.formats.dataset import ExportSummary
from labeling.storage import Home
from tasks.export import ExportOrder, write_dataset


@flow(name="export-dataset", persist_result=False)
def export_dataset(
    out: Path,
    home: Path = Path(".maskmill"),
    format: ExportFormat = "coco",
    run: str = "",
    decisions: tuple[ExportedDecision, ...] = ("accepted", "reviewed"),
) -> ExportSummary:
    """Write a run's frames as a dataset; an earlier export in the folder is replaced once this one is whole.

    Args:
        out: folder to write.
        home: folder with the database and the pictures.
        format: COCO, Ultralytics' polygons, or one PNG per frame.
        run: id of the run, or its start; empty: the one that was worked on last.
        decisions: which frames: accepted, reviewed, review, easy.
    """
    order = ExportOrder(format, tuple(decisions), run or None)
    return write_dataset_task(existing_home(whole_path(home, "home")).root, whole_path(out, "out"), order)


@task(name="write-dataset", cache_policy=NO_CACHE, persist_result=False)
def write_dataset_task(home: Path, folder: Path, order: ExportOrder) -> ExportSummary:
    """`write_dataset`, with what it says in the run's log."""
    written = write_dataset(Home(home), folder, order)
    get_run_logger().info("%d frames with %d instances in %s", written.frames, written.instances, folder)
    for note in written.notes:
        get_run_logger().info(note)
    return written
