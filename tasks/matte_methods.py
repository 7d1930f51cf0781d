"""How the frames of a video are matted: by the plate of a static camera, or by the recurrent network."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from more_itertools import batched

from configs.errors import CameraMoves, MaskmillError
from configs.matting import MatteSettings
from labeling.background.coverage import MaskedPlate
from labeling.background.masked_plate import build_plate
from labeling.background.masked_samples import find_people_with
from labeling.matting.frame import MattedFrame
from labeling.matting.moving_people import Finder
from labeling.matting.moving_stream import StreamState, matte_moving_clip
from labeling.matting.network import MattingNetwork
from labeling.matting.output import COVERAGE_COLORS, MatteFolder
from labeling.matting.stream import BATCH, matte_clip
from labeling.matting.temporal_network import TemporalNetwork
from labeling.segmenters.protocol import BoxSegmenter, Segmenter
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance

PROGRESS_EVERY_S = 1.0
KEEP_STATE_EVERY = 8
"""Groups of frames between two states of a moving camera's stream on disk; a killed run repeats at most so many."""
STATE = "state.npz"
SHORT_PART_S = 10.0
SHORT_PART = "people who stand still in all of them are in it: give a longer part, in which they move, and cut the result"
PREVIEW = (
    "the recurrent network of the package comes from a short training (docs/matting.md); `maskmill train temporal` makes "
    "another, which --weights names"
)


@dataclass(slots=True)
class Progress:
    """Writes `progress.json` once per second, and ends the work if `check` raises."""

    folder: MatteFolder
    stage: str
    check: Callable[[], None]
    _reported: float = field(default=-1.0)

    def __call__(self, done: int, total: int) -> bool:
        """Return whether the file was written now."""
        self.check()
        if self._reported >= 0 and time.monotonic() - self._reported < PROGRESS_EVERY_S:
            return False
        self._reported = time.monotonic()
        report_progress(self.folder, self.stage, done, max(done, total))
        return True


def report_progress(
    folder: MatteFolder, stage: str, done: int, total: int, *, error: MaskmillError | None = None
) -> None:
    """Write `progress.json`."""
    described = {"code": error.code, "message": str(error)} if error else None
    folder.write_json(
        "progress.json",
        {"stage": stage, "frames_done": done, "frames_total": total, "error": described},
    )


class PreparedMatte(Protocol):
    """A method for one video."""

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What `matte.json` says of the method."""
        ...

    @property
    def coverage(self) -> Mapping[str, tuple[tuple[int, int, int], float]]:
        """RGB and share of the pixels of each code in `coverage.png`; empty without a plate."""
        ...

    def frames(self) -> Iterator[tuple[MattedFrame, ...]]:
        """Yield the frames that are missing in the folder, in batches; each is written before the next is asked for."""
        ...


@dataclass(frozen=True, slots=True)
class MatteWork:
    """One video to matte."""

    folder: MatteFolder
    clip: Clip
    teacher: Segmenter
    settings: MatteSettings
    check: Callable[[], None]
    """Called often; an exception from it ends the work."""
    length_s: Fraction
    frames: int
    """Expected; 0: unknown."""


class MatteMethod(Protocol):
    """A network, and what it requires of a video."""

    @property
    def name(self) -> str: ...

    def identity(self, settings: MatteSettings) -> dict[str, Any]:
        """Return what determines the frames, beside the video and the teacher."""
        ...

    def prepare(self, work: MatteWork) -> PreparedMatte: ...


def open_method(settings: MatteSettings) -> MatteMethod:
    """Load the network for a static or moving camera. Raises `ConfigError`, `ExtraMissing`."""
    if settings.camera == "moving":
        return MovingCamera(TemporalNetwork(settings.weights, settings.moving))
    return StaticCamera(MattingNetwork(settings.weights))


@dataclass(frozen=True, slots=True)
class StaticCamera:
    """Compares each frame with the plate of the empty scene."""

    network: MattingNetwork

    @property
    def name(self) -> str:
        return self.network.name

    def identity(self, settings: MatteSettings) -> dict[str, Any]:
        return {
            "camera": "static",
            "plate": settings.plate.model_dump(mode="json"),
            "matting_sha256": self.network.sha256,
        }

    def prepare(self, work: MatteWork) -> "_WithPlate":
        """Return the method with the clip's plate: the stored one, if an earlier attempt got so far.

        Raises:
            CameraMoves: the frames cannot be aligned; the message names the other method.
        """
        plate = work.folder.read_plate(work.settings.plate)
        if plate is None:
            plate = self._build_plate(work)
            work.folder.write_plate(plate)
        return _WithPlate(work, self.network, plate)

    def _build_plate(self, work: MatteWork) -> MaskedPlate:
        progress, searched, settings = Progress(work.folder, "plate", work.check), 0, work.settings.plate
        expected = min(settings.samples, work.frames or settings.samples)

        def find(frames: Sequence[Frame]) -> list[list[Instance]]:
            nonlocal searched
            searched += len(frames)
            progress(searched, max(expected, searched))
            return work.teacher.segment(frames)

        try:
            return build_plate(work.clip, find_people_with(find), settings)
        except CameraMoves as error:
            raise CameraMoves(
                f"{error.motion}; `--config moving` mattes it without a background plate", motion=error.motion
            ) from error


@dataclass(frozen=True, slots=True)
class _WithPlate:
    work: MatteWork
    network: MattingNetwork
    plate: MaskedPlate

    @property
    def warnings(self) -> tuple[str, ...]:
        clip, length_s = self.work.clip, float(self.work.length_s)
        is_part = clip.start_s > 0 or clip.end_s is not None
        if is_part and length_s < SHORT_PART_S:
            return (
                *self.plate.warnings,
                f"the background was learned from {length_s:g} s alone; {SHORT_PART}",
            )
        return tuple(self.plate.warnings)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {
            "plate": {
                "settings": self.plate.settings.model_dump(mode="json"),
                "unseen_share": round(self.plate.unseen_share, 6),
                "shift_px": round(self.plate.shift_px, 3),
            }
        }

    @property
    def coverage(self) -> Mapping[str, tuple[tuple[int, int, int], float]]:
        return {
            code.name.lower(): (rgb, float((self.plate.coverage == code).mean()))
            for code, rgb in COVERAGE_COLORS.items()
        }

    def frames(self) -> Iterator[tuple[MattedFrame, ...]]:
        work, start = self.work, self.work.folder.frames_done()
        yield from batched(
            matte_clip(work.clip, work.teacher.segment, self.network, self.plate, start=start), BATCH
        )


@dataclass(frozen=True, slots=True)
class MovingCamera:
    """Follows the people with the recurrent network; no plate."""

    network: TemporalNetwork

    @property
    def name(self) -> str:
        return self.network.name

    def identity(self, settings: MatteSettings) -> dict[str, Any]:
        return {
            "camera": "moving",
            "moving": settings.moving.model_dump(mode="json"),
            "matting_sha256": self.network.sha256,
        }

    def prepare(self, work: MatteWork) -> "_Moving":
        return _Moving(work, self.network)


@dataclass(frozen=True, slots=True)
class _Moving:
    work: MatteWork
    network: TemporalNetwork
    coverage: Mapping[str, tuple[tuple[int, int, int], float]] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        return () if self.work.settings.weights else (PREVIEW,)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"moving": self.work.settings.moving.model_dump(mode="json")}

    def frames(self) -> Iterator[tuple[MattedFrame, ...]]:
        teacher = self.work.teacher
        look = teacher.segment_boxes if isinstance(teacher, BoxSegmenter) else None
        groups = matte_moving_clip(
            self.work.clip,
            Finder(teacher.segment, look),
            self.network,
            shot_threshold=self.work.settings.moving.shot_threshold,
            start=self._kept_state(),
        )
        for number, group in enumerate(groups, start=1):
            yield group.frames  # the caller writes them before the next group
            if number % KEEP_STATE_EVERY == 0:
                self.work.folder.write(STATE, group.state.to_bytes())

    def _kept_state(self) -> StreamState | None:
        """Return the state of an interrupted run; without one, all frames are computed again, with the same result."""
        content = self.work.folder.read(STATE)
        if content is None:
            return None
        try:
            state = StreamState.from_bytes(content)
        except ValueError:
            return None
        return state if state.index <= self.work.folder.frames_done() else None
