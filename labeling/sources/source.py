"""What a source is called, where it came from, and what became of it on disk."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from labeling.errors import SourceError

SourceKind = Literal["file", "image_folder", "archive", "archive_member", "url", "camera"]


@dataclass(frozen=True, slots=True)
class SourceItem:
    """Where one source came from. Nothing in here but `address` can hold a password.

    `spec` identifies it and can be typed again to mean the same: an absolute path, a folder's path
    and a pattern for its images, `archive.zip!member.mp4`, a URL, `camera:` and a URL.
    """

    spec: str
    kind: SourceKind
    url: str | None = None
    """Of the page or stream, without passwords."""
    title: str | None = None
    uploader: str | None = None
    license: str | None = None
    upload_date: str | None = None
    """ISO 8601; for a camera, when the recording began."""
    site: str | None = None
    """Which of yt-dlp's extractors read the page."""
    site_id: str | None = None
    """What that site calls the video."""
    address: SecretStr | None = field(default=None, repr=False)
    """The URL to connect to, with whatever password it holds; not for storing."""

    @property
    def connect_url(self) -> str:
        """The URL to connect to; keep it out of messages."""
        return self.address.get_secret_value() if self.address else self.url or ""


@dataclass(frozen=True, slots=True)
class FailedSource:
    """One source that failed: the rest goes on."""

    spec: str
    error: SourceError
    title: str | None = None
    uploader: str | None = None
    license: str | None = None

    @classmethod
    def of(cls, origin: SourceItem, error: SourceError) -> "FailedSource":
        """Its failure, with what is said about it: a later try of it alone is to know that too."""
        return cls(origin.spec, error, origin.title, origin.uploader, origin.license)


@dataclass(frozen=True, slots=True)
class FetchedSource:
    """One source on disk: a video's `path`, or `images` in order of their names."""

    origin: SourceItem
    path: Path | None = None
    images: tuple[Path, ...] = ()
    image_names: tuple[str, ...] = ()
    """What each image is called where it came from; a file kept by its content has no name."""
