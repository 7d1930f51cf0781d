"""File types by file name. What a file really contains, only decoding tells."""

import re
from pathlib import PurePath

VIDEO_SUFFIXES = frozenset({
    ".264", ".265", ".266", ".3g2", ".3gp", ".apng", ".asf", ".avc", ".avi", ".dav", ".dif", ".divx", ".dv", ".evo",
    ".f4v", ".flv", ".gif", ".h264", ".h265", ".h266", ".h26l", ".hevc", ".insv", ".ism", ".ismv", ".ivf", ".lrv",
    ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mpe",
    ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".obu", ".ogg", ".ogm", ".ogv", ".psp", ".qt", ".rm", ".rmvb",
    ".tod", ".tp", ".trp", ".ts", ".vc1", ".vob", ".vvc", ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
})  # fmt: skip
"""Those of the formats in `labeling.video.containers`, and what cameras and recorders call them."""
IMAGE_SUFFIXES = frozenset({
    ".avif", ".bmp", ".dib", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".pbm", ".pgm", ".png",
    ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})  # fmt: skip
"""Those of the formats in `labeling.video.images`."""
UNREAD_IMAGE_SUFFIXES = frozenset({
    ".arw", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".hdr", ".heic", ".heif", ".jxl", ".nef", ".npy", ".orf", ".psd",
    ".raf", ".raw", ".rw2", ".svg", ".tga",
})  # fmt: skip
SYSTEM_FOLDERS = frozenset({
    "@eadir", "@recently-snapshot", "@recycle", "@sharebin", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycled",
    "recycler", "system volume information", "lost+found", "__macosx", "network trash folder", "temporary items",
})  # fmt: skip
"""Thumbnails, deleted files and snapshots of network storage, Windows and macOS; in lower case."""
LIST_SUFFIXES = frozenset({".csv", ".m3u", ".m3u8", ".tsv", ".txt"})
UNREAD_LIST_SUFFIXES = frozenset(
    {".json", ".jsonl", ".ods", ".pls", ".xls", ".xlsx", ".xspf", ".yaml", ".yml"}
)
"""Lists and tables of other kinds."""
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


def has_pages_name(name: str) -> bool:
    """Return whether an image of this name may hold several ones."""
    return suffix_of(name) in {".avif", ".png", ".tif", ".tiff", ".webp"}


def is_system_folder(name: str) -> bool:
    return name.lower() in SYSTEM_FOLDERS


_OF_TYPE = "files of type"
OTHER_TYPES = "files of other types, none of them a video's: name one to have it read all the same"
"""What `why_passed_over` says of suffixes of which nothing is known, together."""


def why_passed_over(name: str) -> str:
    """Return what a file is that a search passes over, and what to do.

    >>> why_passed_over("IMG_1.HEIC")
    'images of type .heic, which are not read: convert them, for example to JPEG'
    >>> why_passed_over("notes")
    'files without a suffix: name one to have it read'
    """
    suffix = suffix_of(name)
    if is_packed_name(name):
        return "archives: name them, one by one or by a pattern"
    if suffix in LIST_SUFFIXES:
        return f"lists ({suffix}): name them to have their sources read"
    if suffix in UNREAD_IMAGE_SUFFIXES:
        return f"images of type {suffix}, which are not read: convert them, for example to JPEG"
    if not suffix:
        return "files without a suffix: name one to have it read"
    return f"{_OF_TYPE} {suffix}, which is not a video's: name one to have it read all the same"


def is_of_other_type(reason: str) -> bool:
    """Return whether `why_passed_over` said this of a suffix of which nothing is known."""
    return reason.startswith(_OF_TYPE)


def natural_order(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return a sort key that puts `frame2` before `frame10`."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)
