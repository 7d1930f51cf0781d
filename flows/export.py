"""The flow that writes a run's frames as a dataset, for a schedule; like `maskmill export`."""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from configs.export_formats import ExportedDecision, ExportFormat
from db.runs.queries import latest_run
from flows.home import complete_if_nothing_to_do, existing_context, whole_path
from labeling.datasets.records import ExportSummary
from labeling.storage.object_store import local_path
from tasks.execution.context import Context
from tasks.execution.leases import hold_lease
from tasks.export import ExportOrder, write_dataset
from tasks.observability.assets import trace_dataset


@flow(name="export-dataset", flow_run_name="export {format}", persist_result=False)
@complete_if_nothing_to_do
def export_dataset(
    out: str,
    home: Path = Path(".maskmill"),
    format: ExportFormat = "coco",
    run: str = "",
    decisions: tuple[ExportedDecision, ...] = ("accepted", "reviewed", "partial"),
    only_complete: bool = False,
    license_allow: tuple[str, ...] = (),
    blur_faces: bool = False,
) -> ExportSummary:
    """Write a run's frames as a dataset; it replaces an earlier export in the folder once it is complete.

    Args:
        out: folder or URL (`s3://bucket/dataset`) to write.
        home: folder with the database and the images.
        format: see `maskmill export --help`.
        run: id of the run, or its beginning; empty: the last run.
        decisions: which frames: accepted, reviewed, partial, confirmed, review, easy.
        only_complete: only frames in which each person is accepted or reviewed.
        license_allow: only frames of videos with these licenses, such as `cc-by*`; empty: all.
        blur_faces: blur faces in the exported images, by stored keypoints.
    """
    order = ExportOrder(
        format,
        tuple(decisions),
        run or None,
        only_complete=only_complete,
        license_allow=tuple(license_allow),
        blur_faces=blur_faces,
    )
    context = existing_context(whole_path(home, "home"))
    with context.database.session() as session:
        latest_run(session, order.run)  # without one, the task has nothing to do: it must not fail
    target = out if "://" in out else str(whole_path(Path(out), "out"))
    with hold_lease(context.home, "export-dataset"):
        return write_dataset_task(context, target, order)


@task(name="write-dataset", cache_policy=NO_CACHE, persist_result=False)
def write_dataset_task(context: Context, target: str, order: ExportOrder) -> ExportSummary:
    """Write the dataset, log what was written, and record its lineage."""
    written = write_dataset(context, target, order)
    get_run_logger().info("%d frames with %d instances in %s", written.frames, written.instances, target)
    if folder := local_path(target):
        counts = {"frames": written.frames, "instances": written.instances}
        trace_dataset(context, order.run, folder, counts)
    for note in written.notes:
        get_run_logger().info(note)
    return written
