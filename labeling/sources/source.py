"""One source before fetching, after fetching, and failed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from configs.errors import SourceError

SourceKind = Literal["file", "image_folder", "archive", "archive_member", "url", "camera"]


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One source and its metadata. Only `address` can hold a password.

    `spec` identifies it, and means the same when a user types it again: an absolute path, a folder and a pattern for
    its images, `archive.zip!member.mp4`, a URL, or `camera:` and a URL.
    """

    spec: str
    kind: SourceKind
    url: str | None = None
    """Address of the page or stream, without passwords."""
    title: str | None = None
    uploader: str | None = None
    license: str | None = None
    upload_date: str | None = None
    """ISO 8601; for a camera, the day on which the recording started."""
    address: SecretStr | None = field(default=None, repr=False)
    """The URL to connect to, with its password if it has one; never stored."""

    @property
    def connect_url(self) -> str:
        """The URL to connect to; keep it out of messages."""
        return self.address.get_secret_value() if self.address else self.url or ""


@dataclass(frozen=True, slots=True)
class FailedSource:
    """One source that failed; the others continue."""

    spec: str
    error: SourceError
    title: str | None = None
    uploader: str | None = None
    license: str | None = None

    @classmethod
    def of(cls, source: SourceItem, error: SourceError) -> "FailedSource":
        """Return the failure with the source's metadata, so that a later retry knows it too."""
        return cls(source.spec, error, source.title, source.uploader, source.license)


@dataclass(frozen=True, slots=True)
class FetchedSource:
    """One source on disk: a video's `path`, or `images` in natural order of their names."""

    origin: SourceItem
    path: Path | None = None
    images: tuple[Path, ...] = ()
    image_names: tuple[str, ...] = ()
    """Original name of each image: the files themselves may be named by their content."""
