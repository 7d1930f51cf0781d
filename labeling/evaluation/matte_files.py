"""Files of a matted video: frames of matte and ground truth matched by number, and read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, ModelOutputWrong, SourceError
from configs.ground_truth import MattedVideo
from labeling.datasets.readers.masks import read_values
from labeling.evaluation.ground_truth import MOVING, UNDECIDED, read_roi
from labeling.evaluation.mask_sweep import MASK_THRESHOLD
from labeling.evaluation.matte_metrics import Alpha
from labeling.sources.file_types import is_image_name
from labeling.structures.frames import RgbImage
from labeling.structures.images import open_image
from labeling.structures.masks import BoolArray
from labeling.video.images import read_image

CDNET_VALUES = (0, 50, *UNDECIDED, MOVING)
_CDNET_FIRST = 1
_MATTE_FOLDER = "alpha"


@dataclass(frozen=True, slots=True)
class MatteFrame:
    """The files of one frame."""

    number: int
    """In the ground truth."""
    alpha: Path
    truth: Path
    image: Path | None
    flow: Path | None = None
    """Exact optical flow from this frame to the next."""


@dataclass(frozen=True, slots=True)
class MatchedFrames:
    """The frames that matte and ground truth share, in order of their numbers."""

    frames: tuple[MatteFrame, ...]
    offset: int
    """Number in the ground truth minus number in the matte."""
    missing: int
    """Frames of the ground truth that the matte lacks."""


@dataclass(frozen=True, slots=True, eq=False)
class MattePair:
    """Matte and ground truth of one frame, of equal size."""

    alpha: Alpha
    truth: Alpha
    """Exact alpha; for CDnet, 1 where a person is."""
    known: BoolArray
    """HxW: the ground truth is decided."""

    @property
    def person(self) -> BoolArray:
        """HxW: the ground truth is more than half a person's."""
        pixels: BoolArray = self.truth > MASK_THRESHOLD
        return pixels


def match_frames(video: MattedVideo) -> MatchedFrames:
    """Match the frames of a video's matte with those of its ground truth, by the last number in each name.

    Raises:
        ConfigError: a folder is missing, two of its files have the same number, or no frame matches.
    """
    matte, truth = _require(video.matte), _require(video.alpha or video.cdnet)
    matte = matte / _MATTE_FOLDER if (matte / _MATTE_FOLDER).is_dir() else matte
    alphas = _number_files(matte, "matte")
    truths = _number_files(truth, "alpha" if video.alpha else "cdnet")
    images = _number_files(video.images, "images") if video.images else {}
    flows = _number_files(video.flow, "flow") if video.flow else {}
    offset = _infer_offset(video, alphas, truths) if video.offset is None else video.offset
    shared = [number for number in truths if number - offset in alphas]
    if not shared:
        raise ConfigError(
            f"matte: no frame of {matte} ({_range_of(alphas)}) is in {truth} ({_range_of(truths)}) with the offset "
            f"{offset}; set offset to the number of a frame in the ground truth minus its number in the matte"
        )
    for key, folder, files in (("images", video.images, images), ("flow", video.flow, flows)):
        if files and not files.keys() & set(shared):
            raise ConfigError(
                f"{key}: no image of {folder} ({_range_of(files)}) has the number of a frame in {truth} "
                f"({_range_of(truths)}); number them alike, or leave {key} out"
            )
    return MatchedFrames(
        frames=tuple(
            MatteFrame(n, alphas[n - offset], truths[n], images.get(n), flows.get(n)) for n in shared
        ),
        offset=offset,
        missing=len(truths) - len(shared),
    )


def _require(folder: Path | None) -> Path:
    if folder is None:
        raise ConfigError("a matte is compared with alpha or cdnet: set matte and one of these")
    return folder


def _infer_offset(video: MattedVideo, alphas: Mapping[int, Path], truths: Mapping[int, Path]) -> int:
    """Assume that both sides start with the first frame, which is called 0 or 1."""
    first_truth = _CDNET_FIRST if video.cdnet or 0 not in truths else 0
    return first_truth - (0 if 0 in alphas else 1)


def _number_files(folder: Path, key: str) -> dict[int, Path]:
    """Return the images of a folder by the last number in their names, in order."""
    if not folder.is_dir():
        raise ConfigError(f"{key}: {folder} is not a folder; check the path")
    files: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        numbers = re.findall(r"[0-9]+", path.stem)
        if not is_image_name(path.name) or not numbers:
            continue
        other = files.setdefault(int(numbers[-1]), path)
        if other != path:
            raise ConfigError(
                f"{key}: {other.name} and {path.name} in {folder} have the same number; keep one file per frame"
            )
    if not files:
        raise ConfigError(f"{key}: {folder} has no image with a number in its name, such as 00000.png")
    return dict(sorted(files.items()))


def _range_of(files: Mapping[int, Path]) -> str:
    return f"numbers {min(files)} to {max(files)}"


class MatteReader:
    """Reads the frames of one video. The ROI is read once."""

    def __init__(self, video: MattedVideo) -> None:
        self._is_exact = video.alpha is not None
        self._roi = video.roi
        self._inside = read_roi(video.roi) if video.roi else None

    def read(self, frame: MatteFrame) -> MattePair:
        """Read matte and ground truth.

        Raises:
            ConfigError: a file is unreadable, or its size or its values are not as expected.
        """
        alpha = read_alpha(frame.alpha)
        if self._is_exact:
            truth = read_alpha(frame.truth)
            known: BoolArray = np.ones(truth.shape, dtype=np.bool_)
        else:
            truth, known = _read_cdnet(frame.truth)
        _check_size(alpha, frame.alpha, truth, frame.truth)
        if self._inside is not None and self._roi is not None:
            _check_size(self._inside, self._roi, truth, frame.truth)
            known = known & self._inside
        return MattePair(alpha, truth, known)


def read_alpha(path: Path) -> Alpha:
    """Read a gray image of 8 or 16 bits as alpha, HxW in [0, 1].

    Raises:
        ConfigError: it is unreadable, has colors, or has a palette, whose indices are no alpha.
    """
    values = _read_values(path)
    with open_image(path) as image:
        mode = image.mode
    highest = {np.dtype(np.bool_): 1, np.dtype(np.uint8): 255}.get(values.dtype, 65535)
    if mode.startswith("P") or values.min() < 0 or values.max() > highest:
        raise ConfigError(f"{path}: an image of mode {mode} is no alpha; save alpha as gray of 8 or 16 bits")
    return np.asarray(values / np.float32(highest), dtype=np.float32)


def read_rgb(path: Path, key: str) -> RgbImage:
    """Read a color image as HxWx3 uint8; `key` is the config key that names it.

    Raises:
        ConfigError: it is missing or unreadable.
    """
    try:
        return read_image(path)
    except SourceError as exc:
        raise ConfigError(f"{key}: {exc}") from exc


def read_frame_image(path: Path, size_hw: tuple[int, ...]) -> RgbImage:
    """Read one of a video's `images`, HxWx3 uint8.

    Raises:
        ConfigError: it is missing, unreadable or of another size than the ground truth.
    """
    rgb = read_rgb(path, "images")
    if rgb.shape[:2] != size_hw:
        raise ConfigError(
            f"images: {path} is {rgb.shape[1]}x{rgb.shape[0]} px, the ground truth {size_hw[1]}x{size_hw[0]} px; "
            "use images of the same size, or leave images out"
        )
    return rgb


def _read_cdnet(path: Path) -> tuple[Alpha, BoolArray]:
    """Return where a person is, as 0 and 1, and which pixels are decided."""
    values = _read_values(path)
    others = sorted(set(np.unique(values).tolist()) - set(CDNET_VALUES))
    if others:
        raise ConfigError(
            f"cdnet: {path} has the value {others[0]}, CDnet's are {', '.join(map(str, CDNET_VALUES))}; "
            "use alpha for mattes"
        )
    return (values == MOVING).astype(np.float32), ~np.isin(values, UNDECIDED)


def _read_values(path: Path) -> NDArray[Any]:
    try:
        return read_values(path.read_bytes(), origin=str(path))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}; check the path") from exc
    except ModelOutputWrong as exc:
        raise ConfigError(f"{exc}; save it as a gray image") from exc


def _check_size(first: NDArray[Any], first_path: Path, second: NDArray[Any], second_path: Path) -> None:
    if first.shape[:2] != second.shape[:2]:
        sizes = [f"{side.shape[1]}x{side.shape[0]} px" for side in (first, second)]
        raise ConfigError(
            f"{first_path} is {sizes[0]}, {second_path} {sizes[1]}: compare images of the same size"
        )
