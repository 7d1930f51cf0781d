"""Audit of COCO files made elsewhere: labels that are probably wrong, missing people, and images in two splits."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from more_itertools import batched

from configs.errors import ConfigError, SourceError
from configs.models import RunConfig
from labeling.audit.auditor import Auditor
from labeling.audit.leaks import Leak, SplitImages, find_leaks
from labeling.audit.ranking import RankedSuspect
from labeling.audit.records import AuditCounts, MaskFile
from labeling.datasets.readers.coco import CocoImage, locate_image, read_coco_file
from labeling.datasets.readers.notes import ReaderNotes, RecordFault
from labeling.datasets.splits.similarity import NEAR
from labeling.report.audit_page import AuditPage, AuditTile, LeakTile, render_audit
from labeling.segmenters.factory import load_teacher
from labeling.segmenters.kept import PredictionKeeper
from labeling.segmenters.models import calibration_warning
from labeling.segmenters.protocol import Segmenter
from labeling.sources.content_store import sha256_of
from labeling.storage.home import Home
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.video.images import read_image
from labeling.visualization.frames import tile_jpeg

BATCH = 16
"""Images whose predictions are kept in one file: so many are lost at most if the process is killed."""


@dataclass(frozen=True, slots=True)
class AuditedFile:
    """A COCO file and the folder of its images."""

    split: str
    coco: Path
    images: Path


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found."""

    config_name: str
    is_calibrated: bool
    files: Sequence[AuditedFile]
    counts: Mapping[str, AuditCounts]
    suspects: Sequence[RankedSuspect]
    """Most suspicious first."""
    leaks: Sequence[Leak]
    faults: Sequence[tuple[str, RecordFault]]
    """Records that cannot be read or contradict themselves, each with its split."""
    notes: Sequence[str]
    known: int
    """Images whose predictions were kept by an earlier audit."""

    def to_tree(self) -> dict[str, Any]:
        """Return what the JSON file has."""
        return {
            "config": self.config_name,
            "calibrated": self.is_calibrated,
            "files": {one.split: {"coco": str(one.coco), "images": str(one.images)} for one in self.files},
            "counts": {split: counts.to_tree() for split, counts in self.counts.items()},
            "notes": list(self.notes),
            "suspects": [one.to_tree() for one in self.suspects],
            "faults": [
                {"split": split, "image": one.image, "annotation": one.annotation, "message": one.message}
                for split, one in self.faults
            ],
            "leaks": [
                {"first": list(one.first), "second": list(one.second), "similarity": one.similarity}
                for one in self.leaks
            ],
        }


def name_files(coco: Sequence[Path], images: Sequence[Path]) -> list[AuditedFile]:
    """Return the files with the names of their splits: the files' own, numbered where two are equal.

    Raises:
        ConfigError: a file or folder is missing, or there is not one folder for all or for each file.
    """
    if len(images) not in (1, len(coco)):
        raise ConfigError(
            f"--images: {len(images)} folders for {len(coco)} COCO files: name one for all, or one for each in order"
        )
    for path in coco:
        if not path.is_file():
            raise ConfigError(f"{path} is not a file: name a COCO annotation file (.json)")
    for folder in images:
        if not folder.is_dir():
            raise ConfigError(f"--images {folder} is not a folder: name the folder of the images")
    folders = list(images) * len(coco) if len(images) == 1 else list(images)
    stems = [path.stem for path in coco]
    splits = [f"{stem}-{n + 1}" if stems.count(stem) > 1 else stem for n, stem in enumerate(stems)]
    return [AuditedFile(*one) for one in zip(splits, coco, folders, strict=True)]


@dataclass(slots=True)
class _Work:
    """The state of one audit."""

    home: Home
    teacher: Segmenter
    auditor: Auditor
    person_category: Sequence[str]
    notes: ReaderNotes = field(default_factory=ReaderNotes)
    faults: list[tuple[str, RecordFault]] = field(default_factory=list)
    known: int = 0

    def read(self, file: AuditedFile) -> Iterator[tuple[CocoImage, Frame]]:
        """Yield the images of a file; those that are missing or cannot be decoded are noted."""
        for image in read_coco_file(
            file.coco,
            images=file.images,
            person_category=self.person_category,
            notes=self.notes,
            faults=lambda fault: self.faults.append((file.split, fault)),
        ):
            if image.path is None:
                continue
            try:
                yield image, Frame("audit", None, read_image(image.path), name=image.file_name, index=0)
            except SourceError as exc:
                self.notes.add(f"images left out: {exc.code}", str(exc))

    def compare(self, split: str, batch: Sequence[tuple[CocoImage, Frame]]) -> None:
        """Compare some images with the teacher; predictions are kept by their content, and written at the end."""
        paths = [image.path for image, _ in batch if image.path]
        video_id = hashlib.sha256("".join(map(sha256_of, paths)).encode()).hexdigest()
        clip = Clip(video_id, images=tuple(ImageFile(n, path) for n, path in enumerate(paths)))
        keeper = PredictionKeeper(self.home.predictions)
        model = keeper.keep(self.teacher).prepare(clip)
        frames = [Frame(video_id, None, one.rgb, name=one.name, index=n) for n, (_, one) in enumerate(batch)]
        found = model.segment(frames)
        for (image, _), frame, people in zip(batch, frames, found, strict=True):
            self.auditor.compare(split, image, frame, people, model)
        keeper.save()
        self.known += keeper.known


def audit_files(  # noqa: PLR0913 - keyword-only options
    files: Sequence[AuditedFile],
    config: RunConfig,
    home: Home,
    masks: MaskFile,
    *,
    config_name: str,
    person_category: Sequence[str] = (),
    min_similarity: float = NEAR,
    report: Callable[[int], None] | None = None,
) -> Audit:
    """Compare the labels of COCO files with the teacher, and the images of different files with each other.

    Predictions are kept in the home, so the same images are segmented once: a killed audit continues. `report` is
    called with the number of images that are done.

    Raises:
        ModelOutputWrong: a file is not COCO, or has no category of people.
        ModelError: the teacher cannot be loaded, or failed.
    """
    calibration = config.trust.calibration
    teacher = load_teacher(config)
    work = _Work(home, teacher, Auditor(calibration, masks), person_category)
    splits = [SplitImages(one.split) for one in files]
    for file, images in zip(files, splits, strict=True):
        work.auditor.counts[file.split] = AuditCounts()
        for batch in batched(work.read(file), BATCH):
            for image, frame in batch:
                images.add(image.file_name, frame.rgb)
            work.compare(file.split, batch)
            if report:
                report(sum(counts.images for counts in work.auditor.counts.values()))
    leaks = find_leaks(splits, min_similarity=min_similarity)
    return Audit(
        config_name,
        calibration is not None,
        files,
        work.auditor.counts,
        work.auditor.rank(),
        leaks,
        work.faults,
        [*filter(None, [calibration_warning(config, teacher.card)]), *work.notes.lines()],
        work.known,
    )


def draw_audit(audit: Audit, masks: MaskFile, *, top: int) -> str:
    """Return the HTML page, with images of the first `top` suspects and leaks."""
    folders = {one.split: one.images for one in audit.files}
    return render_audit(
        AuditPage(
            config_name=audit.config_name,
            is_calibrated=audit.is_calibrated,
            counts=audit.counts,
            kinds=Counter(one.record.suspect.kind for one in audit.suspects),
            tiles=(_draw(one, masks, folders) for one in audit.suspects[:top]),
            leaks=len(audit.leaks),
            leak_tiles=(_draw_leak(one, folders) for one in audit.leaks[:top]),
            faults=audit.faults,
            notes=audit.notes,
        )
    )


def _draw(one: RankedSuspect, masks: MaskFile, folders: Mapping[str, Path]) -> AuditTile:
    labels, people = masks.read(one.record.masks_at)
    return AuditTile(one, _tile(folders[one.record.split], one.record.image, people, labels))


def _draw_leak(leak: Leak, folders: Mapping[str, Path]) -> LeakTile:
    return LeakTile(leak, *(_tile(folders[split], name, [], []) for split, name in (leak.first, leak.second)))


def _tile(folder: Path, name: str, people: Sequence[Mask], labels: Sequence[Mask]) -> bytes:
    path = locate_image(folder, name)
    if path is None:
        raise ConfigError(f"{name} is no longer in {folder}: audit again")
    sides = ([Instance(mask, 1.0, mask.box_xywh) for mask in side] for side in (people, labels))
    return tile_jpeg(read_image(path), *sides)
