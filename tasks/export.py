"""Write a run's frames as a dataset into a folder or an object store."""

from dataclasses import dataclass

from configs.categories import stored_categories
from configs.export_formats import ExportedDecision, ExportFormat
from db.frames.dataset import dataset_frames
from db.runs.queries import latest_run
from labeling.datasets.records import ExportSummary
from tasks.execution.context import Context
from tasks.export_in_processes import PartOrder, parts_of_run, processes_for
from tasks.write_frames import ExportStyle, FrameSet, write_frames, write_parts


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """Which frames to write, and how."""

    format: ExportFormat = "coco"
    decisions: tuple[ExportedDecision, ...] = ("accepted", "reviewed", "partial")
    run: str | None = None
    """Id of the run, or its beginning; None: the last run."""
    copy: bool = False
    """Copy images instead of hard-linking them."""
    polygons: bool = False
    """COCO only: polygons instead of run-length encodings."""
    license_allow: tuple[str, ...] = ()
    """Patterns of licenses; frames of other videos are left out. Empty: all frames."""
    blur_faces: bool = False
    """Blur the faces of people in the exported images."""
    only_complete: bool = False
    """Only frames in which each person is accepted or reviewed. Other formats than COCO have no ignored regions, so
    they hold only such frames."""

    @property
    def style(self) -> ExportStyle:
        return ExportStyle(self.format, self.copy, self.polygons, self.license_allow, self.blur_faces)


def write_dataset(context: Context, target: str, order: ExportOrder) -> ExportSummary:
    """Write a run's frames to a folder or URL; an earlier export there stays until the new one is complete.

    Raises:
        ConfigError: there is no such run.
        ExportError: the folder contains something else.
        StorageError, DatabaseError: the home cannot be read, or the target not written.
    """
    with context.database.session() as session:
        run = latest_run(session, order.run)
        categories = stored_categories(run.config)
        only_complete = order.only_complete or order.format != "coco"
        if order.style.can_be_in_parts:
            part_order = PartOrder(context.home, run.id, order.decisions, categories, only_complete)
            with parts_of_run(session, part_order, processes=processes_for(session, run.id)) as parts:
                return write_parts(parts, target, order.style, categories)
        frames = dataset_frames(
            session, run.id, context.home, decisions=order.decisions, only_complete=only_complete
        )
        selected = FrameSet(frames, categories, beside={}, is_divided=False)
        return write_frames(selected, target, order.style, context.home)
