"""The folder that `maskmill synthesize` writes.

    clips/00000/video.mp4       H.264, nearly without loss
    clips/00000/frames/         the same frames as JPEG, from 00000.jpg on
    clips/00000/alpha/          exact alpha of all people, 8 bit, one per frame
    clips/00000/flow/           exact motion of the people to the next frame, as KITTI stores it; none for the last
    clips/00000/clip.json       background, people, and the masks of each frame
    coco/                       the frames and masks of all clips, with `track_id`
    synthesis.json              settings, and fingerprints of the data

A clip appears whole: it is written to `clips/.writing-...` and renamed.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock, Timeout

from configs.errors import AlreadyRunning, ConfigError, StorageError
from labeling.datasets.formats.kitti_flow import encode_flow
from labeling.datasets.records import DatasetFrame, DatasetInstance
from labeling.storage.atomic import WRITING_PREFIX, storage_errors, write_atomically
from labeling.storage.outputs import mark_output
from labeling.structures.masks import Mask
from labeling.synthetic.fake_motion import FakeFrame
from labeling.video.encode import VideoWriter

MODEL = "fake_motion"
"""`model` of the annotations."""
CRF = 10
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 4)


@dataclass(frozen=True, slots=True)
class ClipFolder:
    """Reads and writes that folder."""

    root: Path

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Create the folder, keep other processes out of it, and delete what a killed one left.

        Raises:
            AlreadyRunning: another process writes it.
        """
        with storage_errors(self.root, option="--to"):
            self.root.mkdir(parents=True, exist_ok=True)
            mark_output(self.root)
            (self.root / "clips").mkdir(exist_ok=True)
            lock = FileLock(self.root / f"{WRITING_PREFIX}lock", timeout=0)
            try:
                lock.acquire()
            except Timeout as exc:  # an OSError too
                raise AlreadyRunning(
                    f"another process writes {self.root}: wait until it ends, or name another --to"
                ) from exc
        try:
            for leftover in (self.root / "clips").glob(f"{WRITING_PREFIX}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            yield
        finally:
            lock.release()

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Write what determines the clips to `synthesis.json`, or compare it with what is there.

        Raises:
            ConfigError: the folder holds clips of other settings or data.
            StorageError: the file cannot be read or written.
        """
        path = self.root / "synthesis.json"
        try:
            there = json.loads(path.read_bytes())
        except FileNotFoundError:
            with storage_errors(path, option="--to"):
                write_atomically(path, json.dumps(identity, indent=1).encode() + b"\n")
            return
        except (OSError, ValueError) as exc:
            raise StorageError(f"{path} cannot be read: {exc}; restore it, or name another --to") from exc
        now = json.loads(json.dumps(identity))
        if changed := sorted(key for key in {*there, *now} if there.get(key) != now.get(key)):
            raise ConfigError(
                f"{self.root} holds clips of other settings or data ({', '.join(changed)} differ): undo the change, "
                "or name another --to"
            )

    def has(self, index: int) -> bool:
        return (self.root / "clips" / f"{index:05d}").is_dir()

    def write(
        self, index: int, frames: Iterable[FakeFrame], *, fps: Fraction, facts: Mapping[str, Any]
    ) -> None:
        """Write one clip; `facts` go into its `clip.json`.

        Raises:
            StorageError: it cannot be written.
            SourceError: the background cannot be read.
        """
        final = self.root / "clips" / f"{index:05d}"
        temporary = final.with_name(f"{WRITING_PREFIX}{final.name}")
        with storage_errors(final, option="--to"):
            for kind in ("frames", "alpha", "flow"):
                (temporary / kind).mkdir(parents=True)
            try:
                masks = list(_write_frames(temporary, frames, fps))
                tree = {**facts, "fps": float(fps), "masks": masks}
                (temporary / "clip.json").write_text(json.dumps(tree) + "\n")
                temporary.replace(final)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def dataset_frames(self, clips: int) -> Iterator[DatasetFrame]:
        """Yield the frames of the first `clips` clips, for a COCO file; clips that are not there are left out."""
        frame_id = instance_id = 0
        for index in range(clips):
            folder = self.root / "clips" / f"{index:05d}"
            if not folder.is_dir():
                continue
            tree = json.loads((folder / "clip.json").read_bytes())
            for number, people in enumerate(tree["masks"]):
                found = [(track, Mask.from_coco(rle)) for track, rle in people]
                instances = [
                    _instance(instance_id + i + 1, track, mask) for i, (track, mask) in enumerate(found)
                ]
                frame_id, instance_id = frame_id + 1, instance_id + len(instances)
                yield _frame(frame_id, folder, number, instances, tree)


def _write_frames(folder: Path, frames: Iterable[FakeFrame], fps: Fraction) -> Iterator[list[Any]]:
    """Write the files of each frame and yield its masks as [track_id, RLE]."""
    writer: VideoWriter | None = None
    try:
        for number, frame in enumerate(frames):
            size_hw = (frame.rgb.shape[0], frame.rgb.shape[1])
            writer = writer or VideoWriter(folder / "video.mp4", fps=fps, size_hw=size_hw, crf=CRF)
            writer.write(frame.rgb)
            name = f"{number:05d}"
            bgr = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
            (folder / "frames" / f"{name}.jpg").write_bytes(cv2.imencode(".jpg", bgr, _JPEG)[1].tobytes())
            alpha = np.rint(frame.alpha * 255).astype(np.uint8)
            (folder / "alpha" / f"{name}.png").write_bytes(cv2.imencode(".png", alpha, _PNG)[1].tobytes())
            if frame.flow is not None and frame.is_exact is not None:
                (folder / "flow" / f"{name}.png").write_bytes(encode_flow(frame.flow, frame.is_exact))
            masks = [(i + 1, mask) for i, mask in enumerate(frame.masks()) if mask]
            yield [[track, {**mask.to_coco(), "counts": mask.counts.decode()}] for track, mask in masks]
    except BaseException as error:
        if writer:
            writer.__exit__(type(error), error, None)
        raise
    if writer:
        writer.__exit__(None, None, None)


def _instance(number: int, track: int, mask: Mask) -> DatasetInstance:
    box = mask.box_xywh
    return DatasetInstance(number, mask, mask.area_px, box, 1.0, box, None, MODEL, None, track_id=track)


def _frame(
    number: int, folder: Path, position: int, instances: list[DatasetInstance], tree: Mapping[str, Any]
) -> DatasetFrame:
    image = folder / "frames" / f"{position:05d}.jpg"
    return DatasetFrame(
        id=number,
        image=image,
        file_name=f"{folder.name}_{position:05d}.jpg",
        size_hw=(int(tree["size_hw"][0]), int(tree["size_hw"][1])),
        video_id=folder.name,
        pts_ms=round(1000 * position / tree["fps"]),
        source_url=None,
        title=f"clip {folder.name}",
        uploader=None,
        license=None,
        license_url=None,
        upload_date=None,
        decision="synthetic",
        instances=tuple(instances),
    )
