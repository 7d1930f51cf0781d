"""Write frames in any format into a folder or an object store, with what every export has: attribution, filters, blurred faces."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from configs.errors import ConfigError
from configs.export_formats import ExportFormat
from labeling.datasets.attribution import ATTRIBUTION, Attribution
from labeling.datasets.face_blur import blur_faces
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.coco_parts import CocoPart, write_coco_parts
from labeling.datasets.formats.registry import SPLIT_WRITERS, WRITERS, DatasetWriter
from labeling.datasets.licenses import LicenseFilter
from labeling.datasets.object_store import export_to
from labeling.datasets.records import DatasetFrame, ExportSummary
from labeling.datasets.staging import ImageTarget
from labeling.datasets.writing import WriteOptions
from labeling.storage.atomic import WRITING_PREFIX
from labeling.storage.home import Home

Beside = Mapping[str, Callable[[], bytes]]


@dataclass(frozen=True, slots=True)
class ExportStyle:
    """How frames are written."""

    format: ExportFormat = "coco"
    copy: bool = False
    """Copy images instead of hard-linking them."""
    polygons: bool = False
    """COCO only: polygons instead of run-length encodings."""
    license_allow: tuple[str, ...] = ()
    """Patterns of licenses; frames of other videos are left out. Empty: all frames."""
    blur_faces: bool = False
    """Blur the faces of people in the exported images."""

    @property
    def can_be_in_parts(self) -> bool:
        """Return whether other processes can make the annotations: nothing of the frames is changed or left out."""
        is_plain = not (self.polygons or self.license_allow or self.blur_faces)
        return self.format == "coco" and is_plain


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Frames to write, and what they have in common."""

    frames: Iterable[DatasetFrame]
    categories: Sequence[str]
    beside: Beside
    """Further files by name."""
    is_divided: bool
    """The frames have splits."""


def write_frames(selected: FrameSet, target: str, style: ExportStyle, home: Home) -> ExportSummary:
    """Write frames to a folder or URL; an earlier export there stays until the new one is complete.

    Raises:
        ConfigError: the options contradict each other.
        ExportError: the folder contains something else, or the format cannot hold a frame.
        StorageError: the home cannot be read, or the target not written.
    """
    allowed = LicenseFilter(style.license_allow) if style.license_allow else None
    attribution = Attribution()
    frames = attribution.watch(allowed.keep(selected.frames) if allowed else selected.frames)
    beside = {**selected.beside, ATTRIBUTION: attribution.page}
    writer = _writer(style, is_divided=selected.is_divided)
    with _with_faces_blurred(frames, style, home) as shown:

        def write(folder: Path, images: ImageTarget | None) -> ExportSummary:
            options = WriteOptions(
                copy=style.copy, images=images, categories=selected.categories, beside=beside
            )
            return writer(shown, folder, **options)

        written = export_to(target, write)
    return replace(written, notes=(*written.notes, *(allowed.notes() if allowed else ())))


def write_parts(
    parts: Iterable[CocoPart], target: str, style: ExportStyle, categories: Sequence[str]
) -> ExportSummary:
    """Write parts that other processes made, as COCO: the same files as `write_frames` of the same frames."""
    attribution = Attribution()
    beside = {ATTRIBUTION: attribution.page}

    def credited() -> Iterator[CocoPart]:
        for part in parts:
            for frame in part.frames:
                attribution.see(frame)
            yield part

    def write(folder: Path, images: ImageTarget | None) -> ExportSummary:
        options = WriteOptions(copy=style.copy, images=images, categories=categories, beside=beside)
        return write_coco_parts(credited(), folder, **options)

    return export_to(target, write)


def _writer(style: ExportStyle, *, is_divided: bool) -> DatasetWriter:
    if not style.polygons:
        return (SPLIT_WRITERS if is_divided else WRITERS)[style.format]
    if style.format != "coco" or is_divided:
        raise ConfigError("polygons are a choice of the format coco for a run: leave --polygons out")
    return partial(write_coco, polygons=True)


@contextmanager
def _with_faces_blurred(
    frames: Iterable[DatasetFrame], style: ExportStyle, home: Home
) -> Iterator[Iterable[DatasetFrame]]:
    """Give the frames; blurred images are in the home until all are written, so that they can be linked as others are."""
    if not style.blur_faces:
        yield frames
        return
    with tempfile.TemporaryDirectory(dir=home.root, prefix=f"{WRITING_PREFIX}blurred-") as scratch:
        yield blur_faces(frames, Path(scratch))
