"""Search for videos and images in folders and by patterns."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from configs.errors import SourceError, SourceNotFound, SourcePrivate, UnsupportedVideo
from labeling.sources.file_types import (
    is_archive_name,
    is_image_name,
    is_packed_name,
    is_system_folder,
    is_video_name,
    natural_order,
)
from labeling.sources.passed_over import PassedOverCounter
from labeling.sources.source import FailedSource, SourceItem
from labeling.storage.home import Home
from labeling.storage.outputs import is_output

LINK_OUT = "links that lead out of the folder: they were followed"
PATTERN = re.compile(r"[*?\[]")
"""Characters that make a path a pattern."""
SYSTEM_FOLDER = "system folders (thumbnails, deleted files, snapshots): name one to have it searched"
HOME = "homes of maskmill, which hold frames of earlier runs: name one to have it searched"
OUTPUT = "folders that maskmill wrote (datasets, mattes, clips): name one to have it searched"
ENVIRONMENT = "environments of programs (Python, conda, node): name one to have it searched"


@dataclass(frozen=True, slots=True)
class Matches:
    """Paths that match a pattern."""

    image_folders: tuple[SourceItem, ...]
    """The matching images, grouped by folder."""
    files: tuple[Path, ...]
    folders: tuple[Path, ...]


def find_in_folder(
    folder: Path, passed_over: PassedOverCounter | None = None
) -> Iterator[SourceItem | FailedSource]:
    """Yield every video below a folder, and each folder's images together, in natural order of names.

    Hidden entries are skipped; unknown suffixes, system folders, environments of programs and what maskmill wrote too,
    which are counted. Links are followed, each real folder is entered once, and links out of the folder are counted. A
    folder that cannot be read is yielded as a failure. Raises SourceNotFound if nothing is found.
    """
    found_any, packed = False, 0
    counter = passed_over or PassedOverCounter()
    for real_folder, names in _walk(folder, counter):
        if isinstance(names, SourceError):
            found_any = True
            yield FailedSource(str(real_folder), names)
            continue
        packed += sum(map(is_packed_name, names))
        _count_links_out(folder, real_folder, names, counter)
        for name in names:
            if not (is_video_name(name) or is_image_name(name)):
                counter.add_file(str(folder), name)
        for item in _items_in(real_folder, names):
            found_any = True
            yield item
    if not found_any:
        advice = f"; name the {packed} archives in it, one by one or by a pattern" if packed else ""
        raise SourceNotFound(f"{folder}: no video and no image in this folder{advice}")


def _count_links_out(folder: Path, here: Path, names: list[str], counter: PassedOverCounter) -> None:
    """Count the links that lead out of the folder that was named; they are followed."""
    root = folder.resolve()
    if not here.is_relative_to(root):
        counter.add(str(folder), LINK_OUT, str(here))
    for path in (here / name for name in names if is_video_name(name) or is_image_name(name)):
        if here.is_relative_to(root) and path.is_symlink() and not path.resolve().is_relative_to(root):
            counter.add(str(folder), LINK_OUT, str(path.relative_to(root)))


def find_matches(pattern: Path) -> Matches:
    """Return the paths that match a pattern; folders only if the pattern has no `**`.

    Raises SourceNotFound if nothing matches, and UnsupportedVideo for an invalid pattern.
    """
    prefixes = [*list(pattern.parents)[::-1], pattern]
    start = next(
        i for i, prefix in enumerate(prefixes) if PATTERN.search(prefix.name) and not prefix.exists()
    )
    base, parts = Path(*pattern.parts[:start]), list(pattern.parts[start:])
    is_recursive = "**" in parts
    if parts[-1] == "**":
        parts.append("*")
    try:
        matched = sorted(set(base.glob("/".join(parts))), key=lambda path: natural_order(str(path)))
    except (ValueError, NotImplementedError) as exc:
        raise UnsupportedVideo(f"{pattern}: not a valid pattern ({exc}); use `*`, `?` and `**`") from exc
    relative = {path: path.relative_to(base) for path in matched}
    around = {one for path in relative.values() for one in (path, *path.parents[:-1])}
    left_out = {one for one in around if one.name not in parts and _why_left_out(base / one)}
    visible = [
        path
        for path, within in relative.items()
        if not (_is_hidden(within, parts) or left_out.intersection((within, *within.parents)))
    ]
    if not visible and left_out:
        raise SourceNotFound(
            f"{pattern}: what matches lies in {min(left_out)}, which is left out unless it is named: {base / min(left_out)}"
        )
    if not visible:
        raise SourceNotFound(f"{pattern}: nothing matches; check the spelling")
    files = [path for path in visible if path.is_file()]
    image_parents = dict.fromkeys(path.parent for path in files if is_image_name(path.name))
    others = [path for path in files if not is_image_name(path.name)]
    return Matches(
        tuple(SourceItem(str(parent.resolve() / parts[-1]), "image_folder") for parent in image_parents),
        tuple(path for path in others if parts[-1] != "*" or _is_known(path.name)),
        () if is_recursive else tuple(path for path in visible if path.is_dir()),
    )


def list_images(spec: str) -> tuple[Path, ...]:
    """Return the images of an `image_folder` source in natural order; raise SourceNotFound if there are none."""
    path = Path(spec)
    candidates = path.iterdir() if path.is_dir() else path.parent.glob(path.name)
    try:
        images = [
            p for p in candidates if is_image_name(p.name) and not p.name.startswith(".") and p.is_file()
        ]
    except OSError as exc:
        raise SourceNotFound(f"{spec}: cannot be read ({exc.strerror}); check its permissions") from exc
    if not images:
        raise SourceNotFound(f"{spec}: its images no longer exist")
    return tuple(sorted(images, key=lambda image: natural_order(image.name)))


def _walk(folder: Path, passed_over: PassedOverCounter) -> Iterator[tuple[Path, list[str] | SourceError]]:
    """Yield each real folder with the names of its files, or with the reason why it cannot be read."""
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
        below = {name for name in names if (here / name).is_dir()}
        left_out = {name: reason for name in sorted(below) if (reason := _why_left_out(here / name))}
        for name, reason in left_out.items():
            passed_over.add(str(folder), reason, str((here / name).relative_to(folder)))
        waiting[:0] = [here / name for name in names if name in below and name not in left_out]
        yield here.resolve(), [name for name in names if name not in below]


def _items_in(folder: Path, names: list[str]) -> Iterator[SourceItem | FailedSource]:
    if any(is_image_name(name) for name in names):
        yield SourceItem(str(folder), "image_folder")
    for path in (folder / name for name in names if is_video_name(name)):
        if path.is_file():
            yield SourceItem(str(path), "file")
        else:
            yield FailedSource(str(path), SourceNotFound(f"{path}: a broken link, or not a regular file"))


def _is_hidden(relative: Path, parts: list[str]) -> bool:
    """Return whether a match lies below a name with a dot; never if the pattern itself has such a name."""
    return not any(part.startswith(".") for part in parts) and any(
        part.startswith(".") for part in relative.parts
    )


def _why_left_out(folder: Path) -> str | None:
    if is_system_folder(folder.name):
        return SYSTEM_FOLDER
    if Home(folder).database.is_file():
        return HOME
    if is_output(folder):
        return OUTPUT
    is_environment = folder.name == "node_modules" or (folder / "pyvenv.cfg").is_file()
    return ENVIRONMENT if is_environment or (folder / "conda-meta").is_dir() else None


def _is_known(name: str) -> bool:
    """Return whether a bare `*` includes this file: as in a folder, other types are skipped."""
    return is_video_name(name) or is_archive_name(name)
