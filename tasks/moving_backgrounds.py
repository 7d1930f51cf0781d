"""Videos, images and rendered rooms, as the backgrounds of clips."""

from collections.abc import Sequence
from pathlib import Path

from configs.errors import ConfigError
from labeling.sources.file_types import is_image_name, is_video_name, natural_order
from labeling.synthetic.moving_backgrounds import (
    Background,
    RoomBackground,
    StillBackground,
    VideoBackground,
)
from labeling.video.images import read_image
from labeling.video.probe import probe_video
from tasks.training_records import TrainingData, recorded

ROOMS = 20


def find_backgrounds(paths: Sequence[Path], data: TrainingData) -> list[Background]:
    """Return the backgrounds that can be read; without any path, rendered rooms."""
    if not paths:
        return [RoomBackground(seed) for seed in range(ROOMS)]
    found: list[Background] = []
    for path in paths:
        with recorded(str(path), data):
            files = _files_in(path)
            if not files:
                raise ConfigError(f"backgrounds {path}: neither a video nor an image; name other ones")
            for file in files:
                with recorded(str(file), data):
                    found.append(_open_background(file))
    if not found:
        reasons = "; ".join(failure.message for failure in data.failures)
        raise ConfigError(f"no background can be read: {reasons}")
    return found


def _files_in(path: Path) -> list[Path]:
    """Return the videos and images of a folder, or the file itself."""
    if not path.exists():
        raise ConfigError(f"backgrounds {path}: no such file or folder; check the path")
    listed = path.iterdir() if path.is_dir() else [path]
    files = [file for file in listed if is_video_name(file.name) or is_image_name(file.name)]
    return sorted(files, key=lambda file: natural_order(file.name))


def _open_background(file: Path) -> Background:
    if is_video_name(file.name):
        return VideoBackground(file, probe_video(file).duration_s)
    read_image(file)  # raises where it is not an image
    return StillBackground(file)
