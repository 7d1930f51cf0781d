"""File types by file name. What a file really contains, only decoding tells."""

import re
from pathlib import PurePath

VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})  # fmt: skip
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
LIST_SUFFIXES = frozenset({".csv", ".txt"})
ARCHIVE_SUFFIXES = (
    ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst",
)  # fmt: skip
UNREAD_ARCHIVE_SUFFIXES = (".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")


def suffix_of(name: str) -> str:
    return PurePath(name).suffix.lower()


def is_video_name(name: str) -> bool:
    return suffix_of(name) in VIDEO_SUFFIXES


def is_image_name(name: str) -> bool:
    return suffix_of(name) in IMAGE_SUFFIXES


def is_archive_name(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def is_packed_name(name: str) -> bool:
    """Return whether a name is an archive's or a compressed file's, supported or not."""
    return name.lower().endswith(ARCHIVE_SUFFIXES + UNREAD_ARCHIVE_SUFFIXES)


def natural_order(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return a sort key that puts `frame2` before `frame10`."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)
