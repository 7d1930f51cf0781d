"""Download of videos from web pages: single videos, playlists, channels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from configs.errors import (
    MaskmillError,
    RateLimited,
    SourceError,
    SourceUnreachable,
    TruncatedVideo,
    UnsupportedVideo,
)
from configs.models import Ingest
from labeling.sources.content_store import DownloadArchive, move_into_store, staging
from labeling.sources.download_errors import classify_failure, reason_of, retry_after_s, storage_failure
from labeling.sources.source import FailedSource, FetchedSource, SourceItem
from labeling.sources.url_policy import PAGE_SCHEMES, redact_text, redact_url, url_scheme
from labeling.sources.ytdlp import MAX_PAUSE_S, YtDlpLogger, backoff, make_downloader
from labeling.text.titles import whole_text

MAX_PLAYLIST_DEPTH = 4
"""A channel lists its tabs, a tab lists playlists, a playlist lists videos."""
MAX_FORWARDS = 8
"""Pages that only name another page."""
_WORTH_RETRYING = (RateLimited, SourceUnreachable, TruncatedVideo)
_LISTS = ("playlist", "multi_video", "compat_list")
_MAX_REASON_LENGTH = 300
_NO_MORE: Any = object()

Info = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Page:
    """One page to fetch, and the lists that lead to it."""

    source: SourceItem
    extractor: str | None = None
    """yt-dlp's extractor for it, if the list names one."""
    info: Info | None = None
    """yt-dlp's data about it, if the list holds all of it."""
    parents: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return self.source.connect_url


def fetch_url(
    source: SourceItem, folder: Path, ingest: Ingest, *, allow_link_local: bool = False
) -> Iterator[FetchedSource | FailedSource]:
    """Download a page's video, or those of a playlist or channel one by one, into `folder`.

    A video whose file is still there is not requested again; a playlist is, because it may have new entries. An entry
    that fails does not end its playlist. At most `ingest.max_items` entries are fetched.

    Raises:
        SourceError: the page itself failed, after retries.
        DiskFull, HomeNotWritable, ConfigError: no source can be fetched.
    """
    logger = YtDlpLogger()
    with (
        staging(folder) as here,
        make_downloader(ingest, logger, allow_link_local=allow_link_local) as downloader,
    ):
        reader = _PageReader(downloader, logger, folder, here, ingest)
        yield from islice(reader.fetch(_Page(source)), ingest.max_items)


class _PageReader:
    """One yt-dlp downloader and the folders of its files."""

    def __init__(
        self, downloader: Any, logger: YtDlpLogger, folder: Path, here: Path, ingest: Ingest
    ) -> None:
        self._downloader, self._logger = downloader, logger
        self._folder, self._here, self._ingest = folder, here, ingest
        self._downloads = DownloadArchive(folder)

    def fetch(self, page: _Page) -> Iterator[FetchedSource | FailedSource]:
        """Yield a page's video, or the results of its list; raise SourceError if the page itself fails."""
        if known := self._downloads.find(page.source.spec):
            yield replace(known, origin=_with_metadata_of(page.source, known.origin))
            return
        found = self._with_retries(lambda: self._read(page), page)
        if isinstance(found, FetchedSource):
            yield found
            return
        for entry in self._entries(found, page):
            try:
                yield from self.fetch(entry)
            except SourceError as exc:
                yield FailedSource.of(entry.source, exc)

    def _read(self, page: _Page) -> FetchedSource | Info:
        """Download the page's video, or return its list unread."""
        info = self._resolve(page)
        if info.get("_type") in _LISTS:
            return info
        key = _site_key(info)
        if key and (known := self._downloads.find(key)):
            fetched = replace(known, origin=_with_metadata_of(page.source, known.origin))
            self._downloads.keep(fetched, page.source.spec)
            return fetched
        return self._download(info, page)

    def _resolve(self, page: _Page) -> Info:
        """Return yt-dlp's data about the page; follows pages that only name another page."""
        info: Info | None = dict(page.info) if page.info else None
        url, extractor = page.url, page.extractor
        for _ in range(MAX_FORWARDS):
            info = info or self._downloader.extract_info(url, download=False, ie_key=extractor, process=False)
            if not info:
                raise UnsupportedVideo("nothing was found on the page")
            if info.get("_type") != "url":
                return info
            url, extractor, info = info["url"], info.get("ie_key"), None
        raise UnsupportedVideo(f"more than {MAX_FORWARDS} pages that only name another page")

    def _download(self, info: Info, page: _Page) -> FetchedSource:
        done = self._downloader.process_ie_result(_with_safe_suffixes(info), download=True)
        if not done or done.get("_type") in _LISTS or not done.get("requested_downloads"):
            raise UnsupportedVideo("nothing on the page could be downloaded")
        path = Path(done["requested_downloads"][0]["filepath"])
        fetched = FetchedSource(
            _downloaded_item(done, page.source), move_into_store(path, self._folder, suffix=path.suffix)
        )
        self._downloads.keep(fetched, page.source.spec, _site_key(done) or page.source.spec)
        return fetched

    def _entries(self, listing: Info, page: _Page) -> Iterator[_Page]:
        """Yield the pages of a list; raise its failure if the list breaks off."""
        parents = (*page.parents, page.source.spec)
        if len(parents) > MAX_PLAYLIST_DEPTH:
            raise UnsupportedVideo(
                f"{page.source.spec}: playlists within playlists; name the one that you need"
            )
        entries = iter(listing.get("entries") or ())
        for position in count(1):
            try:
                entry = next(entries, _NO_MORE)
            except Exception as exc:  # noqa: BLE001  # any site's extractor can fail in any way
                raise self._as_ours(exc, page) from _shown_cause(exc, page)
            if entry is _NO_MORE:
                return
            listed = _listed_page(entry, listing, page, parents, position) if entry else None
            if listed and listed.source.spec not in parents:
                yield listed

    def _with_retries(self, call: Callable[[], T], page: _Page) -> T:
        """Repeat failures that may be temporary, with growing pauses or those that the server requests."""
        pause = backoff(self._ingest)

        def wait(state: RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            requested = retry_after_s(failure) if failure else None
            return min(max(pause(state.attempt_number - 1), requested or 0.0), MAX_PAUSE_S)

        attempts = Retrying(
            stop=stop_after_attempt(self._ingest.retries + 1),
            wait=wait,
            retry=retry_if_exception(self._is_worth_retrying),
            reraise=True,
        )
        try:
            with staging(self._here) as folder:  # of this page alone: a partial file in it is resumed
                self._downloader.params["paths"] = {"home": str(folder)}
                return attempts(call)
        except MaskmillError as exc:
            raise _named(exc, page) from exc.__cause__
        except Exception as exc:  # noqa: BLE001  # any site's extractor can fail in any way
            raise self._as_ours(exc, page) from _shown_cause(exc, page)

    def _is_worth_retrying(self, failure: BaseException) -> bool:
        if not isinstance(failure, Exception) or storage_failure(failure):
            return False
        return issubclass(classify_failure(failure, warnings=self._logger.warnings), _WORTH_RETRYING)

    def _as_ours(self, failure: Exception, page: _Page) -> MaskmillError:
        if disk_failure := storage_failure(failure):
            return disk_failure
        kind = classify_failure(failure, warnings=self._logger.warnings)
        reason = redact_text(reason_of(str(failure)), url=page.url)[:_MAX_REASON_LENGTH]
        return kind(f"{page.source.spec}: {reason}; {kind.advice}")


def _shown_cause(failure: Exception, page: _Page) -> Exception | None:
    """Return the cause to show; None if it holds the URL with its password."""
    return failure if page.url == redact_url(page.url) else None


def _named(error: MaskmillError, page: _Page) -> MaskmillError:
    """Add the source to one of our own errors that was raised without knowing it."""
    if not isinstance(error, SourceError) or page.source.spec in str(error):
        return error
    return type(error)(f"{page.source.spec}: {redact_text(str(error), url=page.url)}")


def _listed_page(
    entry: Info, listing: Info, page: _Page, parents: tuple[str, ...], position: int
) -> _Page | None:
    """Return an entry as a page; None if it has no address that can be fetched."""
    from yt_dlp.utils import unsmuggle_url

    inherited = {"license": page.source.license, "uploader": page.source.uploader}
    if entry.get("_type") in ("url", "url_transparent"):
        url = str(entry.get("url"))
        if url_scheme(url) not in PAGE_SCHEMES:
            return None
        shown = redact_url(str(unsmuggle_url(url)[0]))  # without yt-dlp's own notes after the `#`
        source = SourceItem(
            shown, "url", url=shown, title=whole_text(entry.get("title")), address=SecretStr(url), **inherited
        )
        whole = entry if entry["_type"] == "url_transparent" else None  # its data overrides the page's
        return _Page(source, extractor=entry.get("ie_key"), info=whole, parents=parents)
    keys = ("webpage_url", "original_url", "extractor", "extractor_key")
    info = {key: listing[key] for key in keys if key in listing} | entry
    shown = f"{redact_url(info.get('webpage_url') or page.url)}#{whole_text(entry.get('id')) or position}"
    source = SourceItem(shown, "url", url=page.source.url, address=page.source.address, **inherited)
    return _Page(source, info=info, parents=parents)


def _downloaded_item(info: Info, source: SourceItem) -> SourceItem:
    uploaded = str(info.get("upload_date") or "")
    return replace(
        source,
        url=redact_url(info.get("webpage_url") or source.connect_url),
        title=source.title or whole_text(info.get("title")),
        uploader=source.uploader or whole_text(info.get("uploader") or info.get("channel")),
        license=source.license or whole_text(info.get("license")),
        upload_date=date.fromisoformat(uploaded).isoformat() if uploaded else None,
        address=None,
    )


def _with_metadata_of(requested: SourceItem, known: SourceItem) -> SourceItem:
    """Return an earlier download under the requested spec; the requested metadata override the known ones."""
    return replace(
        known,
        spec=requested.spec,
        title=requested.title or known.title,
        uploader=requested.uploader or known.uploader,
        license=requested.license or known.license,
    )


def _site_key(info: Info) -> str | None:
    """Return a video's identity on its site, the same for all its URLs; None if only the URL identifies it."""
    if info.get("_type", "video") != "video" or info.get("extractor_key", "Generic") == "Generic":
        return None
    return f"{info['extractor_key']} {info['id']}" if info.get("id") else None


def _with_safe_suffixes(info: Info) -> Info:
    """Replace suffixes such as `.php`, which yt-dlp refuses: stored files are named by content."""
    from yt_dlp.utils import MEDIA_EXTENSIONS

    known = {None, *MEDIA_EXTENSIONS.video, *MEDIA_EXTENSIONS.audio}

    def safe(media: Info) -> Info:
        return media if media.get("ext") in known else {**media, "ext": "unknown_video"}

    formats = {"formats": [safe(media) for media in info["formats"]]} if info.get("formats") else {}
    return {**safe(info), **formats}
