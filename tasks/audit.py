"""Audit of COCO files made elsewhere: labels that are probably wrong, missing people, and images in two splits."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from more_itertools import batched

from configs.calibration import Calibration
from configs.errors import ConfigError, ModelOutputWrong, SourceError
from configs.models import RunConfig
from labeling.audit.leaks import Leak, SplitHashes, find_leaks
from labeling.audit.ranking import FoundBySize, area_share, suspicion_of
from labeling.audit.records import AuditCounts, MaskFile, RankedSuspect, SuspectRecord
from labeling.audit.suspects import Suspect, TrustedMask, find_suspects
from labeling.datasets.readers.coco import CocoImage, locate_image, read_coco_file
from labeling.datasets.readers.notes import ReaderNotes, RecordFault
from labeling.report.audit_page import AuditPage, AuditTile, LeakTile, render_audit
from labeling.segmenters.factory import load_teacher
from labeling.segmenters.kept import PredictionKeeper
from labeling.segmenters.protocol import Segmenter
from labeling.storage.home import Home
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, Mask, fill_box
from labeling.trust.checks import gather_evidence
from labeling.trust.evidence import DEFAULT_KEYPOINT_SCORE
from labeling.trust.scores import predict_trust
from labeling.video.images import read_image
from labeling.visualization.frames import tile_jpeg

BATCH = 16
"""Images whose predictions are kept in one file: so many are lost at most if the process is killed."""
MIN_SUSPICION = 0.05
"""Weaker suspects are not listed."""

Report = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class AuditedFile:
    """A COCO file and the folder of its images."""

    split: str
    coco: Path
    images: Path


@dataclass(slots=True)
class Audit:
    """What an audit found; memory grows by a small record per image and suspect."""

    config_name: str
    files: Sequence[AuditedFile]
    is_calibrated: bool
    masks: MaskFile
    counts: dict[str, AuditCounts] = field(default_factory=dict)
    suspects: list[RankedSuspect] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    faults: list[tuple[str, RecordFault]] = field(default_factory=list)
    """Records that cannot be read or contradict themselves, each with its split."""
    notes: ReaderNotes = field(default_factory=ReaderNotes)
    known: int = 0
    """Images whose predictions were kept by an earlier audit or run."""

    def to_tree(self) -> dict[str, Any]:
        """Return what the JSON file has."""
        return {
            "config": self.config_name,
            "calibrated": self.is_calibrated,
            "files": {one.split: {"coco": str(one.coco), "images": str(one.images)} for one in self.files},
            "counts": {split: counts.to_tree() for split, counts in self.counts.items()},
            "notes": self.notes.lines(),
            "suspects": [one.to_tree() for one in self.suspects],
            "faults": [
                {"split": split, "image": one.image, "annotation": one.annotation, "message": one.message}
                for split, one in self.faults
            ],
            "leaks": [
                {"first": list(one.first), "second": list(one.second), "distance": one.distance}
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


def audit_files(  # noqa: PLR0913 - keyword-only options
    files: Sequence[AuditedFile],
    config: RunConfig,
    home: Home,
    masks: MaskFile,
    *,
    config_name: str,
    person_category: Sequence[str] = (),
    max_hash_distance: int,
    report: Report | None = None,
) -> Audit:
    """Compare the labels of COCO files with the teacher, and the images of different files with each other.

    Predictions are kept in the home, so the same images are segmented once: a killed audit continues.

    Raises:
        ModelOutputWrong: a file is not COCO, or has no category of people.
        ModelError: the teacher cannot be loaded, or failed.
    """
    calibration = config.trust.calibration
    audit = Audit(config_name, files, calibration is not None, masks)
    records: list[SuspectRecord] = []
    found, hashes = FoundBySize(), [SplitHashes(one.split) for one in files]
    teacher = load_teacher(config)
    done = 0
    for file, split_hashes in zip(files, hashes, strict=True):
        audit.counts[file.split] = AuditCounts()
        images = _read(file, audit, person_category)
        for batch in batched(_load(images, audit.notes), BATCH):
            predicted = _segment(
                [one for one, _ in batch], [frame for _, frame in batch], teacher, home, audit
            )
            for (image, frame), people in zip(batch, predicted, strict=True):
                split_hashes.add(image.file_name, frame.rgb)
                records += _compare(file.split, image, people, calibration, found, audit)
            done += len(batch)
            if report:
                report(done)
    ranked = [RankedSuspect(one, suspicion_of(one.suspect, one.area_share, found)) for one in records]
    kept = [one for one in ranked if one.suspicion >= MIN_SUSPICION]
    audit.suspects = sorted(kept, key=lambda one: (-one.suspicion, one.record.split, one.record.masks_at))
    audit.leaks = find_leaks(hashes, max_distance=max_hash_distance)
    return audit


def _read(file: AuditedFile, audit: Audit, person_category: Sequence[str]) -> Iterator[CocoImage]:
    return read_coco_file(
        file.coco,
        images=file.images,
        person_category=person_category,
        notes=audit.notes,
        faults=lambda fault: audit.faults.append((file.split, fault)),
    )


def _load(images: Iterator[CocoImage], notes: ReaderNotes) -> Iterator[tuple[CocoImage, Frame]]:
    """Decode the images; those that cannot be read are left out and noted."""
    for image in images:
        if image.path is None:
            continue
        try:
            frame = Frame("audit", None, read_image(image.path), name=image.file_name, index=0)
        except SourceError as exc:
            notes.add(f"images left out: {exc.code}", str(exc))
            continue
        yield image, frame


def _segment(
    images: Sequence[CocoImage], frames: Sequence[Frame], teacher: Segmenter, home: Home, audit: Audit
) -> list[list[Instance]]:
    """Return the teacher's people, from the kept predictions where these images were seen before."""
    paths = [image.path for image in images if image.path is not None]
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in paths]
    video_id = hashlib.sha256(b"".join(digests)).hexdigest()
    clip = Clip(video_id, images=tuple(ImageFile(n, path) for n, path in enumerate(paths)))
    keeper = PredictionKeeper(home.predictions)
    model = keeper.keep(teacher).prepare(clip)
    placed = [Frame(video_id, None, frame.rgb, name=frame.name, index=n) for n, frame in enumerate(frames)]
    found = model.segment(placed)
    keeper.save()
    audit.known += keeper.known
    return found


def _compare(  # noqa: PLR0913, PLR0917 - the parts of one comparison
    split: str,
    image: CocoImage,
    instances: Sequence[Instance],
    calibration: Calibration | None,
    found: FoundBySize,
    audit: Audit,
) -> Iterator[SuspectRecord]:
    """Yield the suspects of one image, and count what the teacher found."""
    people = _trust(instances, image.size_hw, calibration)
    labels = image.people
    if image.boxes is not None:  # compared as boxes: the labels have no outline
        labels = tuple(fill_box(box, image.size_hw) for box in image.boxes)
        people = [TrustedMask(fill_box(one.mask.box_xywh, image.size_hw), one.trust) for one in people]
    suspects, is_found = find_suspects(labels, people, image.ignored)
    for label, was_found in zip(labels, is_found, strict=True):
        found.add(area_share([label.area_px], image.size_hw), was_found)
    counts = audit.counts[split]
    audit.counts[split] = counts.plus(images=1, labels=len(labels), people=len(people))
    for suspect in suspects:
        yield _record(split, image, suspect, labels, people, audit.masks)


def _record(  # noqa: PLR0913, PLR0917 - the parts of one record
    split: str,
    image: CocoImage,
    suspect: Suspect,
    labels: Sequence[Mask],
    people: Sequence[TrustedMask],
    masks: MaskFile,
) -> SuspectRecord:
    own, others = [labels[n] for n in suspect.labels], [people[n].mask for n in suspect.people]
    return SuspectRecord(
        suspect,
        split,
        image.file_name,
        image.image_id,
        tuple(image.annotations[n] for n in suspect.labels),
        _box_around(own or others),
        area_share([mask.area_px for mask in own], image.size_hw),
        masks.add(own, others),
    )


def _trust(
    instances: Sequence[Instance], size_hw: tuple[int, int], calibration: Calibration | None
) -> list[TrustedMask]:
    """Return the people with their calibrated trust; without a calibration, with the teacher's scores."""
    people = [one for one in instances if one.mask]
    for one in people:
        if one.mask.size_hw != size_hw:
            raise ModelOutputWrong(f"the teacher's mask is {one.mask.size_hw}, the image {size_hw}")
    trusts = tuple(one.score for one in people)
    if calibration and people:
        evidence = gather_evidence(people, size_hw, min_keypoint_score=DEFAULT_KEYPOINT_SCORE)
        predicted = predict_trust(evidence, calibration)
        trusts = predicted.instances if predicted else trusts
    return [TrustedMask(one.mask, trust) for one, trust in zip(people, trusts, strict=True)]


def _box_around(masks: Sequence[Mask]) -> BoxXywh:
    boxes = [mask.box_xywh for mask in masks]
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    return left, top, right - left, bottom - top


def draw_audit(audit: Audit, *, top: int) -> str:
    """Return the HTML page, with images of the first `top` suspects and leaks."""
    folders = {one.split: one.images for one in audit.files}
    return render_audit(
        AuditPage(
            config_name=audit.config_name,
            is_calibrated=audit.is_calibrated,
            counts=audit.counts,
            kinds=Counter(one.record.suspect.kind for one in audit.suspects),
            tiles=(_draw(one, audit, folders) for one in audit.suspects[:top]),
            leaks=len(audit.leaks),
            leak_tiles=(_draw_leak(one, folders) for one in audit.leaks[:top]),
            faults=audit.faults,
            notes=audit.notes.lines(),
        )
    )


def _draw(one: RankedSuspect, audit: Audit, folders: dict[str, Path]) -> AuditTile:
    labels, people = audit.masks.read(one.record.masks_at)
    jpeg = _tile(folders[one.record.split], one.record.image, people, labels)
    return AuditTile(one, jpeg)


def _draw_leak(leak: Leak, folders: dict[str, Path]) -> LeakTile:
    return LeakTile(leak, *(_tile(folders[split], name, [], []) for split, name in (leak.first, leak.second)))


def _tile(folder: Path, name: str, people: Sequence[Mask], labels: Sequence[Mask]) -> bytes:
    path = locate_image(folder, name)
    if path is None:
        raise ConfigError(f"{name} is no longer in {folder}: audit again")
    sides = ([Instance(mask, 1.0, mask.box_xywh) for mask in side] for side in (people, labels))
    return tile_jpeg(read_image(path), *sides)
