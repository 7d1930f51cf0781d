"""Reads the image of a frame, for formats that contain images instead of files."""

from configs.errors import ExportError
from labeling.datasets.records import DatasetFrame
from labeling.datasets.staging import export_errors


def read_image_bytes(frame: DatasetFrame) -> bytes:
    """Return the file of a frame's image.

    Raises:
        ExportError: it is missing.
        StorageError: its store cannot be used.
    """
    try:
        if frame.store is not None:
            return frame.store.get(str(frame.image))
        with export_errors(frame.image):
            return frame.image.read_bytes()
    except FileNotFoundError as exc:
        raise ExportError(f"image {frame.image} is missing; restore it or leave its frame out") from exc
    except ExportError as exc:
        raise ExportError(f"image {frame.image} cannot be read; restore it or leave its frame out") from exc
