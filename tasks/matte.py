"""The matte of one video: background plate, alpha of each frame, composite."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from more_itertools import batched
from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.errors import ConfigError, MaskmillError
from configs.matting import MatteSettings, PlateBlock
from labeling.background.coverage import MaskedPlate
from labeling.background.masked_plate import build_plate
from labeling.background.sample_store import find_people_with
from labeling.matting.encode import compose, side_by_side, write_alpha_video, write_composite, write_preview
from labeling.matting.network import MattingNetwork
from labeling.matting.output import MatteFolder
from labeling.matting.replacement import Replacement, open_replacement
from labeling.matting.stream import BATCH, MattedFrame, matte_clip
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip
from labeling.video.probe import probe_video

PROGRESS_EVERY_S = 1.0
LATEST_WIDTH_PX = 480


@dataclass(frozen=True, slots=True)
class MatteSummary:
    """Result of one video."""

    source: str
    folder: str
    frames: int = 0
    frames_with_people: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str = ""
    """Code of the error, if the video failed."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class MatteOrder:
    """One video to matte, and where to."""

    source: Path
    folder: Path
    settings: MatteSettings


@task(name="matte-video", task_run_name="{order.source.name}", cache_policy=NO_CACHE, persist_result=False)
def matte_video_task(
    order: MatteOrder, teacher: Segmenter, network: MattingNetwork, check: Callable[[], None]
) -> MatteSummary:
    """Matte one video; a failure is returned, so that the others go on."""
    try:
        return matte_video(order, teacher, network, check)
    except MaskmillError as error:
        with suppress(MaskmillError):
            MatteFolder(order.folder).create()
            _report(MatteFolder(order.folder), "failed", 0, 0, error=error)
        return MatteSummary(str(order.source), str(order.folder), error=error.code, message=str(error))


def matte_video(
    order: MatteOrder, teacher: Segmenter, network: MattingNetwork, check: Callable[[], None]
) -> MatteSummary:
    """Write the folder of one video; an interrupted one continues with the first frame that is missing.

    A finished one is encoded again if only the background or the format changed. `check` is called for each
    batch of frames; an exception from it ends the work.

    Raises:
        SourceError: the video cannot be read, or its camera moves.
        ConfigError: the folder holds the matte of another video or of other settings.
        ModelError, StorageError.
    """
    started, folder, clip = time.monotonic(), MatteFolder(order.folder), Clip(order.source.stem, order.source)
    facts = probe_video(order.source)
    replacement = open_replacement(order.settings.background)
    folder.create()
    _claim_folder(folder, order, teacher, network)
    output = order.settings.model_dump(mode="json", include={"background", "format"})
    done = folder.read_json("matte.json")
    if done and done["output"] == output:
        return MatteSummary(**done["summary"])
    prepared = teacher.prepare(clip)
    plate = _plate(folder, clip, prepared, order.settings.plate)
    if not done:
        total = round(float(facts.duration_s * facts.fps)) if facts.fps else 0
        work = _Work(folder, clip, prepared, network, plate, replacement, total, check)
        work.matte()
    count = folder.frames_done()
    _report(folder, "encode", count, count)
    _encode(folder, clip, order, count)
    with_people = sum(record["status"] == "matted" for record in folder.frame_records())
    seconds = round(time.monotonic() - started, 2)
    summary = MatteSummary(
        str(order.source), str(order.folder), count, with_people, seconds, tuple(plate.warnings)
    )
    _write_result(folder, order, {"teacher": prepared.card.name, "matting": network.name}, plate, summary)
    _report(folder, "done", count, count)
    return summary


def _claim_folder(
    folder: MatteFolder, order: MatteOrder, teacher: Segmenter, network: MattingNetwork
) -> None:
    """Write what determines the frames to `identity.json`, or compare with what is there."""
    status = order.source.stat()
    identity = {
        "file": order.source.name,
        "bytes": status.st_size,
        "plate": order.settings.plate.model_dump(mode="json"),
        "teacher": [teacher.card.name, teacher.card.weights_sha256, teacher.card.settings],
        "matting_sha256": network.sha256,
    }
    there = folder.read_json("identity.json")
    if there is None:
        folder.write_json("identity.json", identity)
    elif there != identity:
        changed = ", ".join(key for key in identity if there.get(key) != identity[key])
        raise ConfigError(
            f"{folder.root} holds the matte of another video or of other settings ({changed}): name another --out, or "
            "delete the folder"
        )


def _plate(folder: MatteFolder, clip: Clip, teacher: Segmenter, settings: PlateBlock) -> MaskedPlate:
    """Return the plate of a clip: the stored one, if an earlier attempt got so far."""
    if stored := folder.read_plate(settings):
        return stored
    _report(folder, "plate", 0, 0)

    plate = build_plate(clip, find_people_with(teacher.segment), settings)
    folder.write_plate(plate)
    return plate


@dataclass(slots=True)
class _Work:
    """The frames of one video."""

    folder: MatteFolder
    clip: Clip
    teacher: Segmenter
    network: MattingNetwork
    plate: MaskedPlate
    replacement: Replacement
    total: int
    check: Callable[[], None]
    reported: float = 0.0

    def matte(self) -> None:
        """Write the missing frames; images are written by threads beside the networks."""
        frames = matte_clip(
            self.clip, self.teacher.segment, self.network, self.plate, start=self.folder.frames_done()
        )
        with ThreadPoolExecutor(2, thread_name_prefix="write") as writers:
            for batch in batched(frames, BATCH):
                self.check()
                self.folder.append_frame_records([_record(frame) for frame in batch])
                list(writers.map(self.folder.write_frame, batch))
                if time.monotonic() - self.reported > PROGRESS_EVERY_S:
                    self._show(batch[-1])

    def _show(self, frame: MattedFrame) -> None:
        self.reported = time.monotonic()
        alpha = np.rint(frame.matte.alpha * 255).astype(np.uint8)
        image = compose(frame.rgb, frame.matte.foreground, alpha, self.replacement(frame.rgb))
        width = min(LATEST_WIDTH_PX, frame.rgb.shape[1])
        self.folder.write_image(
            "latest.jpg", cv2.cvtColor(side_by_side(frame.rgb, image, width), cv2.COLOR_RGB2BGR)
        )
        _report(self.folder, "matte", frame.index + 1, max(self.total, frame.index + 1))


def _record(frame: MattedFrame) -> dict[str, Any]:
    return {
        "index": frame.index,
        "time_s": round(float(frame.t), 6),
        "status": "matted" if frame.people else "empty",
        "people": len(frame.people),
    }


def _encode(folder: MatteFolder, clip: Clip, order: MatteOrder, count: int) -> None:
    background, kind = order.settings.background, order.settings.format
    write_composite(clip, folder, open_replacement(background))
    write_preview(clip, folder, open_replacement(background), count)
    if kind != "png":
        write_alpha_video(clip, folder, kind, f"{order.folder.name}.{kind}")


def _write_result(
    folder: MatteFolder,
    order: MatteOrder,
    models: dict[str, str],
    plate: MaskedPlate,
    summary: MatteSummary,
) -> None:
    """Write `matte.json`; its frames are copied line by line."""
    tree = {
        "maskmill": version("maskmill"),
        "models": models,
        "output": order.settings.model_dump(mode="json", include={"background", "format"}),
        "plate": {
            "settings": plate.settings.model_dump(mode="json"),
            "unseen_share": round(plate.unseen_share, 6),
            "shift_px": round(plate.shift_px, 3),
        },
        "summary": asdict(summary),
    }
    folder.write_json_with_frames("matte.json", tree)


def _report(
    folder: MatteFolder, stage: str, done: int, total: int, *, error: MaskmillError | None = None
) -> None:
    described = {"code": error.code, "message": str(error)} if error else None
    folder.write_json(
        "progress.json",
        {"stage": stage, "frames_done": done, "frames_total": total, "error": described},
    )
