"""Videos and images in folders, and by patterns."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labeling.errors import SourceError, SourceNotFound, SourcePrivate, UnsupportedVideo
from labeling.sources.file_types import (
    is_archive_name,
    is_image_name,
    is_packed_name,
    is_video_name,
    natural_order,
)
from labeling.sources.source import FailedSource, SourceItem

_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Matches:
    """What a pattern matched."""

    image_folders: tuple[SourceItem, ...]
    """Matched images, together, per folder they lie in."""
    files: tuple[Path, ...]
    folders: tuple[Path, ...]


def find_in_folder(folder: Path) -> Iterator[SourceItem | FailedSource]:
    """Every video below a folder, and the images of each folder together, in natural order of names.

    Hidden entries and unknown suffixes are passed over, links followed, each real folder entered
    once. A folder that cannot be read is a failure of its own.

    Raises:
        SourceNotFound: nothing to be found.
    """
    found_any, packed = False, 0
    for real_folder, names in _walk(folder):
        if isinstance(names, SourceError):
            found_any = True
            yield FailedSource(str(real_folder), names)
            continue
        packed += sum(map(is_packed_name, names))
        for origin in _origins_in(real_folder, names):
            found_any = True
            yield origin
    if not found_any:
        advice = f"; give the {packed} archives in it by name or by pattern" if packed else ""
        raise SourceNotFound(f"{folder}: no video and no image in this folder{advice}")


def find_matches(pattern: Path) -> Matches:
    """What a pattern of paths matches; folders only where no `**` does the descending.

    Raises:
        SourceNotFound: nothing.
        UnsupportedVideo: not a pattern.
    """
    prefixes = [*list(pattern.parents)[::-1], pattern]
    at = next(i for i, prefix in enumerate(prefixes) if _PATTERN.search(prefix.name) and not prefix.exists())
    base, parts = Path(*pattern.parts[:at]), list(pattern.parts[at:])
    descends = "**" in parts
    if parts[-1] == "**":
        parts.append("*")
    try:
        matched = sorted(set(base.glob("/".join(parts))), key=lambda path: natural_order(str(path)))
    except (ValueError, NotImplementedError) as exc:
        raise UnsupportedVideo(f"{pattern}: not a pattern ({exc})") from exc
    shown = [path for path in matched if not _is_hidden(path.relative_to(base), parts)]
    if not shown:
        raise SourceNotFound(f"{pattern}: nothing matches")
    files = [path for path in shown if path.is_file()]
    images = [path for path in files if is_image_name(path.name)]
    return Matches(
        tuple(
            SourceItem(str(parent.resolve() / parts[-1]), "image_folder")
            for parent in dict.fromkeys(path.parent for path in images)
        ),
        tuple(
            path for path in files if path not in set(images) and (parts[-1] != "*" or _is_known(path.name))
        ),
        () if descends else tuple(path for path in shown if path.is_dir()),
    )


def list_images(spec: str) -> tuple[Path, ...]:
    """The images that an image_folder origin stands for, in natural order of names.

    Raises:
        SourceNotFound: they are gone.
    """
    path = Path(spec)
    candidates = path.iterdir() if path.is_dir() else path.parent.glob(path.name)
    try:
        images = [
            p for p in candidates if is_image_name(p.name) and not p.name.startswith(".") and p.is_file()
        ]
    except OSError as exc:
        raise SourceNotFound(f"{spec}: cannot be read ({exc.strerror})") from exc
    if not images:
        raise SourceNotFound(f"{spec}: no images there any more")
    return tuple(sorted(images, key=lambda image: natural_order(image.name)))


def _walk(folder: Path) -> Iterator[tuple[Path, list[str] | SourceError]]:
    """Real folders with the names of files in them, or why they cannot be read."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop(0)
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            names = sorted((p.name for p in here.iterdir() if not p.name.startswith(".")), key=natural_order)
        except OSError as exc:
            error = SourcePrivate(f"{here}: cannot be read ({exc.strerror}); change its permissions")
            error.__cause__ = exc
            yield here, error
            continue
        below = [here / name for name in names if (here / name).is_dir()]
        waiting[:0] = below
        yield here.resolve(), [name for name in names if here / name not in set(below)]


def _origins_in(folder: Path, names: list[str]) -> Iterator[SourceItem | FailedSource]:
    if any(is_image_name(name) for name in names):
        yield SourceItem(str(folder), "image_folder")
    for path in (folder / name for name in names if is_video_name(name)):
        if path.is_file():
            yield SourceItem(str(path), "file")
        else:
            yield FailedSource(str(path), SourceNotFound(f"{path}: a link to nothing, or not a file"))


def _is_hidden(relative: Path, parts: list[str]) -> bool:
    """Below a dot, unless the pattern itself asks for dots."""
    asked = any(part.startswith(".") for part in parts)
    return not asked and any(part.startswith(".") for part in relative.parts)


def _is_known(name: str) -> bool:
    """What `*` stands for: as in a folder, not every file is meant."""
    return is_video_name(name) or is_archive_name(name)
