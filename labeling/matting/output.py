"""The folder of one video's matte.

    alpha/00000.png       alpha, 8 bit, one per frame of the source
    mask/00000.png        alpha above one half, 0 or 255
    foreground/00000.png  color of the people, without the background
    frames.jsonl          one line per frame: time, status, people
    plate.png             static camera: the empty scene; coverage.png: where each pixel of it comes from
    state.npz             moving camera: what the network knows, until all frames are done
    progress.json         what is being done, and the error if it failed
    latest.jpg            the latest frame beside its composite
    composite.mp4, preview.webp, NAME.webm or NAME.mov
    report.html           a page with the plate, the preview and the people over time
    identity.json         what determines the frames: source, plate settings, models
    matte.json            written last: the matte is complete

A frame is complete when its alpha is there, which is written after the others. Files appear whole.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from configs.errors import AlreadyRunning, StorageError
from configs.matting import PlateBlock
from labeling.background.coverage import Coverage, MaskedPlate
from labeling.matting.frame import ALPHA_THRESHOLD, MattedFrame
from labeling.storage.atomic import WRITING_PREFIX, storage_errors, write_atomically
from labeling.storage.outputs import mark_output
from labeling.structures.frames import RgbImage

IMAGE_KINDS = ("alpha", "mask", "foreground")
LOCK = f"{WRITING_PREFIX}lock"
COMPRESSION = (cv2.IMWRITE_PNG_COMPRESSION, 1)
COVERAGE_COLORS = {
    Coverage.SEEN: (255, 255, 255),
    Coverage.ALL_FRAMES: (120, 190, 250),
    Coverage.LEAST_MOTION: (250, 190, 80),
    Coverage.INPAINTED: (220, 60, 60),
}
"""RGB of each code in `coverage.png`."""


@dataclass(frozen=True, slots=True)
class MatteFolder:
    """Reads and writes the folder of one matte."""

    root: Path

    def create(self) -> None:
        with _storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            mark_output(self.root)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let no other process write this folder, and delete the temporary files of a killed one.

        Raises:
            AlreadyRunning: another process writes it.
        """
        lock = FileLock(self.root / LOCK, timeout=0)
        with _storage_errors(self.root):
            try:
                lock.acquire()
            except Timeout as exc:  # an OSError too
                raise AlreadyRunning(
                    f"another process writes {self.root}: wait until it ends, or name another --out"
                ) from exc
        try:
            for folder in (self.root, *(self.root / kind for kind in IMAGE_KINDS)):
                for path in folder.glob(f"{WRITING_PREFIX}*"):
                    if path.name != LOCK:
                        path.unlink(missing_ok=True)
            yield
        finally:
            (self.root / LOCK).unlink(missing_ok=True)
            lock.release()

    def image_path(self, kind: str, index: int) -> Path:
        return self.root / kind / f"{index:05d}.png"

    def frames_done(self) -> int:
        """Return the number of frames, from the first on, that are complete."""
        count = 0
        while self.image_path("alpha", count).is_file():
            count += 1
        return count

    def write_frame(self, frame: MattedFrame) -> None:
        alpha = np.rint(frame.matte.alpha * 255).astype(np.uint8)
        foreground = np.where(alpha[..., None] > 0, frame.matte.foreground, 0).astype(np.uint8)
        inside = (frame.matte.alpha > ALPHA_THRESHOLD).astype(np.uint8) * 255
        for kind, image in (
            ("foreground", cv2.cvtColor(foreground, cv2.COLOR_RGB2BGR)),
            ("mask", inside),
            ("alpha", alpha),
        ):
            self.write_image(f"{kind}/{frame.index:05d}.png", image)

    def write_plate(self, plate: MaskedPlate) -> None:
        colors = np.zeros((*plate.coverage.shape, 3), dtype=np.uint8)
        for code, color in COVERAGE_COLORS.items():
            colors[plate.coverage == code] = color
        self.write_image("coverage.png", cv2.cvtColor(colors, cv2.COLOR_RGB2BGR))
        self.write_image("plate.png", cv2.cvtColor(plate.rgb, cv2.COLOR_RGB2BGR))
        facts = {key: getattr(plate, key) for key in ("warnings", "shift_px", "is_stabilized")}
        self.write_json("plate.json", facts)

    def read_plate(self, settings: PlateBlock) -> MaskedPlate | None:
        """Return the plate that was written; None if it is not there or incomplete."""
        facts = self.read_json("plate.json")
        try:
            colors, rgb = (self._read_rgb(self.root / name) for name in ("coverage.png", "plate.png"))
        except StorageError:
            return None
        if facts is None:
            return None
        coverage = np.zeros(colors.shape[:2], dtype=np.uint8)
        for code, color in COVERAGE_COLORS.items():
            coverage[(colors == color).all(axis=2)] = code
        facts["warnings"] = tuple(facts["warnings"])
        return MaskedPlate(rgb, coverage, settings, **facts)

    def read_rgb(self, kind: str, index: int) -> RgbImage:
        return self._read_rgb(self.image_path(kind, index))

    def _read_rgb(self, path: Path) -> RgbImage:
        return cv2.cvtColor(self._read_image(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(np.uint8)

    def read_alpha(self, index: int) -> NDArray[np.uint8]:
        return self._read_image(self.image_path("alpha", index), cv2.IMREAD_GRAYSCALE)

    def _read_image(self, path: Path, flags: int) -> NDArray[np.uint8]:
        """Read an image; OpenCV's own reader cannot open every path."""
        image = None
        with suppress(OSError, cv2.error):
            image = cv2.imdecode(np.fromfile(path, dtype=np.uint8), flags)
        if image is None:
            raise StorageError(
                f"{path} cannot be read: delete the folder {self.root} and run the command again"
            )
        return np.asarray(image, dtype=np.uint8)

    def write_image(self, name: str, bgr: NDArray[Any]) -> None:
        path = self.root / name
        parameters = COMPRESSION if path.suffix == ".png" else ()
        self.write(name, cv2.imencode(path.suffix, bgr, parameters)[1].tobytes())

    def write_json(self, name: str, tree: Mapping[str, Any]) -> None:
        self.write(name, json.dumps(tree, indent=1, ensure_ascii=False).encode() + b"\n")

    def write_json_with_frames(self, name: str, tree: Mapping[str, Any]) -> None:
        """Write a JSON object with the records of the frames as `frames`, one per line."""
        head = json.dumps(tree, indent=1, ensure_ascii=False).encode().removesuffix(b"\n}")
        path = self.root / f"{WRITING_PREFIX}{name}"
        with _storage_errors(path), path.open("wb") as file:
            file.write(head + b',\n "frames": [')
            for number, record in enumerate(self.frame_records()):
                file.write((b",\n  " if number else b"\n  ") + json.dumps(record).encode())
            file.write(b"\n ]\n}\n")
            file.close()
            path.replace(self.root / name)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return the content of a JSON file; None if it is not there."""
        try:
            tree: dict[str, Any] = json.loads((self.root / name).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return tree

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if it is not there."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        path = self.root / name
        with _storage_errors(path):
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, content)

    def append_frame_records(self, records: list[dict[str, Any]]) -> None:
        """Append lines to `frames.jsonl`, after the unfinished line of a killed writer, if there is one.

        Called before the frames' images are written: a frame that is matted again has two equal lines.
        """
        path = self.root / "frames.jsonl"
        with _storage_errors(path), path.open("ab") as file:
            file.write(b"".join(b"\n" + json.dumps(record).encode() for record in records) + b"\n")

    def frame_records(self) -> Iterator[dict[str, Any]]:
        """Yield one record per frame, in order; unfinished lines are left out."""
        done = -1
        with (self.root / "frames.jsonl").open("rb") as file:
            for line in file:
                try:
                    record: dict[str, Any] = json.loads(line)
                except ValueError:
                    continue
                if record["index"] == done + 1:
                    done += 1
                    yield record


def _storage_errors(path: Path) -> AbstractContextManager[None]:
    return storage_errors(path, option="--out")
