"""The matte of one video: alpha of each frame, composite, page."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from configs.errors import (
    AlreadyRunning,
    ConfigError,
    MaskmillError,
    ModelError,
    NoSuchPart,
    SourceError,
    SourceNotFound,
    StorageError,
    UnexpectedError,
)
from configs.matting import MatteSettings
from labeling.matting.encode import ALPHA_VIDEOS, compose, side_by_side, write_alpha_video, write_composite
from labeling.matting.frame import ALPHA_THRESHOLD, MattedFrame
from labeling.matting.output import MatteFolder
from labeling.matting.replacement import Replacement, open_replacement
from labeling.report.matte_page import MattePage, render_matte
from labeling.runtime.memory import release_memory
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip
from labeling.text.figures import clock
from labeling.video.probe import probe_video, refuse_large_frames
from tasks.matte_methods import STATE, MatteMethod, MatteWork, PreparedMatte, Progress, report_progress

LATEST_WIDTH_PX = 480
TIMELINE_COLUMNS = 400
RELEASED_EVERY = 64
"""Frames after which unused memory returns to the system; it grew by a tenth over ten times as many frames."""
COMPARED_BYTES = 1 << 20
"""Bytes at the start and at the end of a video by which it is recognized."""


@dataclass(frozen=True, slots=True)
class MatteSummary:
    """Result of one video."""

    source: str
    folder: str
    frames: int = 0
    frames_with_people: int = 0
    seconds: float = 0.0
    """Of the run that finished it."""
    frames_per_s: float = 0.0
    """Frames of that run over its time for them, without plate and encoding."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """Code of the error; empty for none."""
    message: str = ""

    @classmethod
    def failed(cls, source: str, folder: Path | str, error: MaskmillError) -> "MatteSummary":
        return cls(source, str(folder), error=error.code, message=str(error))


@dataclass(frozen=True, slots=True)
class MatteOrder:
    """One video to matte, and where to."""

    source: Path
    folder: Path
    settings: MatteSettings


@task(name="matte-video", task_run_name="{order.source.name}", cache_policy=NO_CACHE, persist_result=False)
def matte_video_task(
    order: MatteOrder, teacher: Segmenter, method: MatteMethod, check: Callable[[], None]
) -> MatteSummary:
    """Matte one video; an error of this video is returned, so that the others go on.

    Raises:
        ConfigError, StorageError, Interrupted: the others cannot go on either.
    """
    try:
        return matte_video(order, teacher, method, check)
    except (SourceError, ModelError, AlreadyRunning, UnexpectedError) as error:
        if isinstance(error, UnexpectedError):
            get_run_logger().error("%s", error, exc_info=error)
        return MatteSummary.failed(str(order.source), order.folder, error)


def matte_video(
    order: MatteOrder, teacher: Segmenter, method: MatteMethod, check: Callable[[], None]
) -> MatteSummary:
    """Write the folder of one video; an interrupted one continues with the first frame that is missing.

    A finished one is encoded again if only the background or the format changed. `check` is called for each
    batch of frames; an exception from it ends the work.

    Raises:
        SourceError: the video cannot be read, or its camera moves.
        ConfigError: the folder holds the matte of another video or of other settings.
        AlreadyRunning: another process writes the folder.
        UnexpectedError: any other exception, such as one of a library.
        ModelError, StorageError.
    """
    folder = MatteFolder(order.folder)
    folder.create()
    with folder.exclusive():
        try:
            return _matte(folder, order, teacher, method, check)
        except MaskmillError as error:
            _report_failure(folder, error)
            raise
        except Exception as exc:  # one video that a library cannot process must not stop the others
            failure = UnexpectedError(
                f"{order.source}: {type(exc).__name__}: {exc}; {UnexpectedError.advice}"
            )
            _report_failure(folder, failure)
            raise failure from exc


def _report_failure(folder: MatteFolder, error: MaskmillError) -> None:
    """Write the error to `progress.json`; a run that was stopped or refused has not failed."""
    if isinstance(error, (SourceError, ModelError, StorageError, UnexpectedError)):
        with suppress(StorageError):
            report_progress(folder, "failed", 0, 0, error=error)


def _matte(
    folder: MatteFolder,
    order: MatteOrder,
    teacher: Segmenter,
    method: MatteMethod,
    check: Callable[[], None],
) -> MatteSummary:
    started, facts = time.monotonic(), probe_video(order.source)
    clip = _part_of(order, facts.duration_s)
    output = _output_of(order.settings)
    check_identity(order, teacher, method)
    if folder.read_json("identity.json") is None:
        folder.write_json("identity.json", _identity(order, teacher, method))
    done = folder.read_json("matte.json")
    if done and done["output"] == output:
        return _stored_summary(done)
    prepared = teacher.prepare(clip)
    end_s = facts.duration_s if clip.end_s is None else min(clip.end_s, facts.duration_s)
    total = round(float((end_s - clip.start_s) * facts.fps)) if facts.fps else 0
    matte = method.prepare(
        MatteWork(folder, clip, prepared, order.settings, check, end_s - clip.start_s, total)
    )
    speed = _stored_summary(done).frames_per_s if done else 0.0
    if not done:
        replacement = open_replacement(order.settings.background)
        speed = _Work(folder, matte, replacement, total, check).matte()
    count = folder.frames_done()
    _encode(folder, clip, order, count, check)
    summary = MatteSummary(
        str(order.source),
        str(order.folder),
        count,
        sum(record["status"] == "matted" for record in folder.frame_records()),
        round(time.monotonic() - started, 2),
        round(speed, 2),
        matte.warnings,
    )
    _write_page(folder, order, matte, summary)
    _write_result(folder, output, {"teacher": prepared.card.name, "matting": method.name}, matte, summary)
    folder.remove(STATE)
    report_progress(folder, "done", count, count)
    return summary


def _part_of(order: MatteOrder, duration_s: Fraction) -> Clip:
    settings = order.settings
    if settings.start_s >= duration_s:
        raise NoSuchPart(
            f"{order.source} is {float(duration_s):.2f} s long, and the part starts at {settings.start_s:g} s: give an "
            "earlier --start"
        )
    end_s = None if settings.end_s is None else Fraction(str(settings.end_s))
    return Clip(order.source.stem, order.source, Fraction(str(settings.start_s)), end_s)


def find_failure(order: MatteOrder, max_pixels: int) -> MatteSummary | None:
    """Return why a video cannot be matted, known before any model is loaded, and report it in its folder.

    It cannot be read, lacks the part that is asked for, or has more pixels than `max_pixels`.
    """
    try:
        facts = probe_video(order.source)
        refuse_large_frames(order.source, facts.size_hw, max_pixels)
        _part_of(order, facts.duration_s)
    except SourceError as error:
        folder = MatteFolder(order.folder)
        folder.create()
        with suppress(AlreadyRunning), folder.exclusive():
            _report_failure(folder, error)
        return MatteSummary.failed(str(order.source), order.folder, error)
    return None


def check_identity(order: MatteOrder, teacher: Segmenter, method: MatteMethod) -> None:
    """Compare what determines the frames with what an earlier run wrote into the folder.

    Raises:
        ConfigError: they differ.
        SourceNotFound: the video is not there.
    """
    there = MatteFolder(order.folder).read_json("identity.json")
    if there is None:
        return
    identity = _identity(order, teacher, method)
    if changed := [key for key in identity if there.get(key) != identity[key]]:
        raise ConfigError(
            f"{order.folder} holds the matte of another video or of other settings ({', '.join(changed)}): name "
            "another --out, or delete the folder"
        )


def _identity(order: MatteOrder, teacher: Segmenter, method: MatteMethod) -> dict[str, Any]:
    return {
        "file": order.source.name,
        "content": _fingerprint(order.source),
        "teacher": [teacher.card.name, teacher.card.weights_sha256, teacher.card.settings],
        "part": [order.settings.start_s, order.settings.end_s] if _is_part(order.settings) else None,
        **method.identity(order.settings),
    }


def _describe_part(settings: MatteSettings) -> str:
    """Return which part of the video is cut out; empty: all of it."""
    if not _is_part(settings):
        return ""
    end = "its end" if settings.end_s is None else clock(round(1000 * settings.end_s))
    return f"from {clock(round(1000 * settings.start_s))} to {end}"


def _is_part(settings: MatteSettings) -> bool:
    return settings.start_s > 0 or settings.end_s is not None


def _fingerprint(path: Path) -> str:
    """Return a hash of a file's size, start and end: a whole long video takes too long for each command."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(COMPARED_BYTES)
            file.seek(max(0, size - COMPARED_BYTES))
            return sha256(b"%d," % size + start + file.read(COMPARED_BYTES)).hexdigest()
    except OSError as exc:
        raise SourceNotFound(
            f"{path} cannot be read ({exc.strerror}): check the name and its permissions"
        ) from exc


def _output_of(settings: MatteSettings) -> dict[str, Any]:
    """Return what determines the encoded files beside the frames; a file of the background by its content."""
    output: dict[str, Any] = settings.model_dump(mode="json", include={"background", "format"})
    with suppress(OSError, ValueError):
        status = Path(settings.background).stat()
        output["background_file"] = [status.st_size, status.st_mtime_ns]
    return output


def _stored_summary(done: dict[str, Any]) -> MatteSummary:
    stored = done["summary"]
    return MatteSummary(**stored | {"warnings": tuple(stored["warnings"])})


@dataclass(slots=True)
class _Work:
    """The frames of one video."""

    folder: MatteFolder
    prepared: PreparedMatte
    replacement: Replacement
    total: int
    check: Callable[[], None]

    def matte(self) -> float:
        """Write the missing frames, and return frames per second; threads write images beside the networks."""
        started, progress, written = time.monotonic(), Progress(self.folder, "matte", self.check), 0
        with ThreadPoolExecutor(2, thread_name_prefix="write") as writers:
            for batch in self.prepared.frames():
                self.folder.append_frame_records([_record(frame) for frame in batch])
                list(writers.map(self.folder.write_frame, batch))
                written += len(batch)
                if progress(batch[-1].index + 1, self.total):
                    self._show(batch[-1])
                if written % RELEASED_EVERY < len(batch):
                    release_memory()
        return written / max(time.monotonic() - started, 1e-9)

    def _show(self, frame: MattedFrame) -> None:
        alpha = np.rint(frame.matte.alpha * 255).astype(np.uint8)
        image = compose(frame.rgb, frame.matte.foreground, alpha, self.replacement(frame.rgb))
        width = min(LATEST_WIDTH_PX, frame.rgb.shape[1])
        self.folder.write_image(
            "latest.jpg", cv2.cvtColor(side_by_side(frame.rgb, image, width), cv2.COLOR_RGB2BGR)
        )


def _record(frame: MattedFrame) -> dict[str, Any]:
    return {
        "index": frame.index,
        "time_s": round(float(frame.t), 6),
        "status": "matted" if frame.people or (frame.matte.alpha > ALPHA_THRESHOLD).any() else "empty",
        "people": len(frame.people),
    }


def _encode(
    folder: MatteFolder, clip: Clip, order: MatteOrder, count: int, check: Callable[[], None]
) -> None:
    background, kind = order.settings.background, order.settings.format
    progress = Progress(folder, "encode", check)
    passes = 1 if kind == "png" else 2
    write_composite(
        clip, folder, open_replacement(background), count, lambda done: progress(done // passes, count)
    )
    if kind != "png":
        write_alpha_video(clip, folder, kind, count, lambda done: progress((count + done) // 2, count))


def _write_page(
    folder: MatteFolder, order: MatteOrder, prepared: PreparedMatte, summary: MatteSummary
) -> None:
    columns = [0] * min(TIMELINE_COLUMNS, summary.frames)
    end_s, most = 0.0, 0
    for record in folder.frame_records():
        column = record["index"] * len(columns) // summary.frames
        columns[column] = max(columns[column], record["people"])
        end_s, most = record["time_s"] - order.settings.start_s, max(most, record["people"])
    names = [f"{order.folder.name}.{kind}" for kind in ALPHA_VIDEOS]
    page = MattePage(
        order.source.name,
        summary.frames,
        summary.frames_with_people,
        most,
        end_s,
        tuple(columns),
        prepared.coverage,
        summary.warnings,
        tuple(name for name in names if (order.folder / name).is_file()),
        _describe_part(order.settings),
    )
    folder.write("report.html", render_matte(page).encode())


def _write_result(
    folder: MatteFolder,
    output: dict[str, Any],
    models: dict[str, str],
    prepared: PreparedMatte,
    summary: MatteSummary,
) -> None:
    """Write `matte.json`; its frames are copied line by line."""
    tree = {
        "maskmill": version("maskmill"),
        "models": models,
        "output": output,
        **prepared.facts,
        "summary": asdict(summary),
    }
    folder.write_json_with_frames("matte.json", tree)
