"""The files of `maskmill track`: masks, COCO, overlay video and table of people, from a finished run."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Any

import cv2
import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import select

from configs.errors import InsufficientMasks
from configs.models import RunConfig
from configs.segmenters import OsvosBlock
from db.frames.dataset import REVIEWED, dataset_frames
from db.models.core import VideoRow
from labeling.datasets.formats.coco import annotation_record, rle_json
from labeling.datasets.records import DatasetFrame
from labeling.segmenters.factory import make_segmenter
from labeling.storage.atomic import WRITING_PREFIX, storage_errors, write_atomically
from labeling.storage.outputs import mark_output
from labeling.structures.frames import Clip
from labeling.structures.masks import BoxXywh, Mask, box_iou_matrix
from labeling.tracking.anchors import nearest_box
from labeling.video.decode import decode_clip
from labeling.visualization.overlay_video import OverlayVideo
from tasks.execution.context import Context

if TYPE_CHECKING:  # they import torch
    from labeling.segmenters.osvos import OsvosSegmenter
    from labeling.tracking.osvos_preparation import OsvosPreparation

DECISIONS = ("easy", "accepted", "review", REVIEWED)
MIN_IOU = 0.5
"""IoU from which a mask's box meets the box expected at an annotated point."""


@dataclass(frozen=True, slots=True)
class TrackOrder:
    """Which run's masks to write, and where to."""

    video_id: str
    run_id: str
    config: RunConfig
    to: Path


@dataclass(frozen=True, slots=True)
class TrackedPerson:
    """One person of `maskmill track`."""

    person: int
    annotated: int
    """Annotated frames in which the teacher ran."""
    skipped: int
    """Annotated frames without a box under the largest distance."""
    missing: int
    """Annotated numbers that are no frame of the video."""
    distance_px: float | None
    """Median distance of the annotated points to the nearest box."""
    masks: int
    """Masks that were learned from."""
    frames: int
    """Frames with a mask."""
    before: float
    """Share of annotated frames in which the nearest box's mask has the place and size of the person."""
    after: float
    """The same of the masks written."""
    confidence: float | None
    """Median score."""
    cpu_s: float
    """Processor seconds of the fine-tuning."""
    error: str = ""
    """Code of the reason why the person is left out; empty: not."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """Result of `maskmill track`."""

    run_id: str
    folder: str
    frames: int
    """Frames of the video that were segmented."""
    masks: int
    conventions: str
    people: tuple[TrackedPerson, ...]


@task(name="write-tracks", task_run_name="{order.to.name}", cache_policy=NO_CACHE, persist_result=False)
def write_tracks_task(context: Context, order: TrackOrder) -> TrackSummary:
    """Write the folder; see `write_tracks`."""
    return write_tracks(context, order)


def write_tracks(context: Context, order: TrackOrder) -> TrackSummary:
    """Write masks, `instances.json`, `overlay.mp4` and `summary.json`; files of an earlier call are replaced.

    Raises:
        StorageError: a file cannot be written; the same call writes all files again.
    """
    clip = _clip_of(context, order.video_id)
    segmenter, preparation = _open(order, clip)
    results = _Results()
    overlay = order.to / f"{WRITING_PREFIX}overlay.mp4"
    _clear(order.to, segmenter.people_of(preparation))
    with (
        OverlayVideo(overlay, preparation.size_hw) as video,
        _coco_file(order.to / "instances.json") as coco,
    ):
        for number, decoded, frame in _join(context, order, clip, preparation):
            masks: dict[int, Mask] = {}
            if frame is not None:
                masks = {one.track_id: one.mask for one in frame.instances if one.track_id and one.area_px}
                coco.add(frame, number)
                _write_masks(order.to, number, masks)
                results.add(number, frame)
            video.write(decoded.to_rgb(), masks, decoded.t)
    with storage_errors(order.to, option="--to"):
        overlay.replace(order.to / "overlay.mp4")
    people = [
        _describe(preparation, person, results.boxes.get(person, {}), results.scores.get(person, []))
        for person in segmenter.people_of(preparation)
    ]
    summary = TrackSummary(
        order.run_id,
        str(order.to),
        results.frames,
        sum(len(one) for one in results.boxes.values()),
        preparation.projection.describe(),
        tuple(people),
    )
    with storage_errors(order.to, option="--to"):
        write_atomically(order.to / "summary.json", json.dumps(asdict(summary), indent=1).encode())
    return summary


def _clear(folder: Path, people: Sequence[int]) -> None:
    """Remove the masks of an earlier call, and what a killed one left half written."""
    with storage_errors(folder, option="--to"):
        folder.mkdir(parents=True, exist_ok=True)
        mark_output(folder)
        for person in people:
            shutil.rmtree(folder / f"person_{person}", ignore_errors=True)
        for leftover in folder.glob(f"{WRITING_PREFIX}*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


class _Results:
    """Boxes of the masks, by person and annotated frame, and scores."""

    def __init__(self) -> None:
        self.frames = 0
        self.boxes: dict[int, dict[int, BoxXywh]] = {}
        self.scores: dict[int, list[float]] = {}

    def add(self, number: int, frame: DatasetFrame) -> None:
        self.frames += 1
        for one in frame.instances:
            if one.track_id and one.area_px:
                self.boxes.setdefault(one.track_id, {})[number] = one.tight_xywh
                self.scores.setdefault(one.track_id, []).append(one.score)


def _clip_of(context: Context, video_id: str) -> Clip:
    with context.database.session() as session:
        path = session.scalars(select(VideoRow.path).where(VideoRow.id == video_id)).one()
    return Clip(video_id, context.home.absolute(path))


def _open(order: TrackOrder, clip: Clip) -> "tuple[OsvosSegmenter, OsvosPreparation]":
    block, config = order.config.teacher, order.config
    segmenter = make_segmenter(
        block, weights_dir=config.weights_dir, device=config.device, batch=config.batch
    )
    from labeling.segmenters.osvos import OsvosSegmenter

    if not isinstance(segmenter, OsvosSegmenter) or not isinstance(block, OsvosBlock):
        raise TypeError("the teacher of this run is not osvos")
    return segmenter, segmenter.open(clip)


def _join(
    context: Context, order: TrackOrder, clip: Clip, preparation: "OsvosPreparation"
) -> Iterator[tuple[int, Any, DatasetFrame | None]]:
    """Yield the video's frames with their numbers, and the run's frame where there is one."""
    with context.database.session() as session:
        rows = dataset_frames(session, order.run_id, context.home, decisions=DECISIONS)
        stored = (row for row in rows if row.video_id == order.video_id)
        next_row = next(stored, None)
        for number, decoded in enumerate(decode_clip(clip)):
            if next_row is not None and next_row.pts_ms == decoded.pts_ms:
                yield number, decoded, next_row
                next_row = next(stored, None)
            else:
                yield number, decoded, None


def _write_masks(folder: Path, number: int, masks: Mapping[int, Mask]) -> None:
    for person, mask in masks.items():
        target = folder / f"person_{person}" / f"{number:05d}.png"
        with storage_errors(target, option="--to"):
            target.parent.mkdir(exist_ok=True)
            pixels = mask.to_array().astype(np.uint8) * 255
            write_atomically(target, cv2.imencode(".png", pixels)[1].tobytes())


class _CocoFile:
    """COCO's annotations are written at once, and images afterwards: neither is kept in memory."""

    def __init__(self, annotations: IO[bytes], images: IO[bytes]) -> None:
        self._annotations, self._images = annotations, images
        self._counts = [0, 0]

    def add(self, frame: DatasetFrame, number: int) -> None:
        height, width = frame.size_hw
        image = {
            "id": frame.id,
            "file_name": frame.file_name,
            "width": width,
            "height": height,
            "video_id": frame.video_id,
            "frame_index": number,
            "pts_ms": frame.pts_ms,
        }
        self._write(self._images, 0, json.dumps(image).encode())
        for one in frame.instances:
            if one.area_px:
                self._write(self._annotations, 1, annotation_record(frame, one, rle_json(one.mask)))

    def _write(self, file: IO[bytes], which: int, record: bytes) -> None:
        file.write((b",\n" if self._counts[which] else b"") + record)
        self._counts[which] += 1


@contextmanager
def _coco_file(path: Path) -> Iterator[_CocoFile]:
    """Yield a writer whose file appears when the block ends."""
    with (
        storage_errors(path, option="--to"),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=WRITING_PREFIX) as folder,
    ):
        whole = Path(folder) / path.name
        with whole.open("wb") as file, tempfile.TemporaryFile(dir=folder) as images:
            file.write(b'{"categories":[{"id":1,"name":"person"}],"annotations":[\n')
            yield _CocoFile(file, images)
            file.write(b'\n],"images":[\n')
            images.seek(0)
            shutil.copyfileobj(images, file)
            file.write(b"\n]}\n")
        whole.replace(path)


def _describe(
    preparation: "OsvosPreparation", person: int, boxes: Mapping[int, BoxXywh], scores: Sequence[float]
) -> TrackedPerson:
    matches = preparation.matches(person)
    numbers = preparation.projection.video_frames(preparation.annotation.trajectories[person]).round()
    missing = int(((numbers < 0) | (numbers >= len(preparation.pts_ms))).sum())
    error = message = ""
    cpu_s, masks = 0.0, len(preparation.read_patches(person))
    try:
        cpu_s = preparation.head(person).seconds if preparation.backbone else 0.0
    except InsufficientMasks as failure:
        error, message = failure.code, str(failure)
    before, after = _shares(preparation, person, boxes)
    finite = [one for one in matches.distances_px if np.isfinite(one)]
    return TrackedPerson(
        person,
        matches.annotated,
        matches.skipped,
        missing,
        round(median(finite), 1) if finite else None,
        masks,
        len(boxes),
        before,
        after,
        round(median(scores), 3) if scores else None,
        round(cpu_s, 1),
        error,
        message,
    )


def _shares(
    preparation: "OsvosPreparation", person: int, boxes: Mapping[int, BoxXywh]
) -> tuple[float, float]:
    """Return the shares of annotated frames with a mask of the expected place and size, before and after."""
    before: list[bool] = []
    after: list[bool] = []
    for number, annotated in preparation.annotated.items():
        if person not in annotated.points:
            continue
        point = np.array(annotated.points[person])
        expected = preparation.bodies.box(point)
        found = nearest_box(
            point,
            [one.box_xywh for one in annotated.instances],
            anchor=preparation.projection.anchor,
            max_distance_px=preparation.max_distance_px,
        )
        nearest = annotated.instances[found.index].mask.box_xywh if found.index is not None else None
        before.append(_meets(nearest, expected))
        after.append(_meets(boxes.get(number), expected))
    shares = [round(float(np.mean(one)), 3) if one else 0.0 for one in (before, after)]
    return shares[0], shares[1]


def _meets(box: BoxXywh | None, expected: BoxXywh) -> bool:
    return box is not None and float(box_iou_matrix([box], [expected])[0, 0]) >= MIN_IOU
