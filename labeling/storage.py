"""The home: where the database, fetched videos and kept pictures lie."""

import errno
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
from PIL import Image, UnidentifiedImageError

from labeling.errors import DiskFull, HomeNotWritable, StorageError
from labeling.instances import RgbPicture

_UPRIGHT = (0, 1)
"""EXIF orientations that leave a picture as it is."""
_EXIF_ORIENTATION = 274


@dataclass(frozen=True, slots=True)
class Home:
    """A folder that holds everything maskmill keeps."""

    root: Path

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.root / 'maskmill.db'}"

    @property
    def videos(self) -> Path:
        return self.root / "videos"

    def create(self) -> None:
        """Make the folders.

        Raises:
            HomeNotWritable: not allowed to, or something else is there.
        """
        with storage_errors(self.root):
            for folder in (self.root, self.videos, self.root / "pictures"):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass

    def relative(self, path: Path) -> str:
        """The path as it is stored: below the home without the home, so that homes can move."""
        resolved, root = path.resolve(), self.root.resolve()
        return str(resolved.relative_to(root)) if resolved.is_relative_to(root) else str(resolved)

    def absolute(self, stored: str) -> Path:
        return self.root / stored

    def save_picture(self, rgb: RgbPicture, *, quality: int, original: Path | None = None) -> str:
        """Keep a picture under its content's name; returns that name, relative to the home.

        An `original` file that is an upright JPEG or PNG is kept byte for byte; anything else is
        coded as JPEG of `quality`.

        Raises:
            DiskFull, HomeNotWritable: the picture could not be written.
        """
        content, suffix = _original_bytes(original) or (_jpeg_bytes(rgb, quality), ".jpg")
        name = hashlib.sha256(content).hexdigest()
        stored = Path("pictures") / name[:2] / f"{name}{suffix}"
        path = self.root / stored
        with storage_errors(path):
            try:
                os.utime(path)  # as new: nobody may take it for an orphan before its row is there
            except PermissionError:  # another user's: it is there all the same
                pass
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
        return str(stored)


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside and rename: a reader sees all of it or nothing. Who may read it is as usual here."""
    temporary = path.parent / f".writing-{secrets.token_hex(8)}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors while writing `path` into ours."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no room left for {path}: free some, then run the same command again; it goes on from here"
            ) from exc
        if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
            raise HomeNotWritable(f"cannot write {path}: {exc.strerror}; choose another --home") from exc
        raise StorageError(f"cannot write {path}: {exc}") from exc


def _original_bytes(path: Path | None) -> tuple[bytes, str] | None:
    if path is None:
        return None
    try:
        with Image.open(path) as picture:
            suffix = {"JPEG": ".jpg", "PNG": ".png"}.get(picture.format or "")
            upright = picture.getexif().get(_EXIF_ORIENTATION, 1) in _UPRIGHT
            plain = picture.mode in ("L", "RGB")
    except (OSError, UnidentifiedImageError):
        return None
    return (path.read_bytes(), suffix) if suffix and upright and plain else None


def _jpeg_bytes(rgb: RgbPicture, quality: int) -> bytes:
    _, content = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()
