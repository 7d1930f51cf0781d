"""Videos from pages: single ones, playlists, channels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from configs.errors import MaskmillError
from configs.models import Ingest
from labeling.errors import RateLimited, SourceError, SourceUnreachable, TruncatedVideo, UnsupportedVideo
from labeling.sources.content_store import move_into_store, staging
from labeling.sources.download_archive import DownloadArchive
from labeling.sources.download_errors import (
    ADVICE,
    classify_failure,
    retry_after_s,
    spoken_words,
    storage_failure,
)
from labeling.sources.source import FailedSource, FetchedSource, SourceItem
from labeling.sources.url_policy import PAGE_SCHEMES, redact_text, redact_url, url_scheme
from labeling.sources.ytdlp import MAX_PAUSE_S, YtDlpLogger, backoff, make_downloader

MAX_PLAYLIST_DEPTH = 4
"""A channel's page lists its tabs, a tab lists playlists, a playlist lists videos."""
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
    """One page to fetch, and who listed it."""

    origin: SourceItem
    reader: str | None = None
    """yt-dlp's extractor for it, if the list said so."""
    info: Info | None = None
    """What is known of it, if the list had it all."""
    parents: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return self.origin.connect_url


def fetch_url(
    origin: SourceItem, folder: Path, ingest: Ingest, *, allow_link_local: bool = False
) -> Iterator[FetchedSource | FailedSource]:
    """Download a page's video, or one after the other those of a playlist or channel, into `folder`.

    A URL downloaded before is not asked for again while its file is there; a playlist is, for what
    is new in it. An entry that fails does not end its playlist. At most `ingest.max_items` entries.

    Raises:
        SourceError: the page itself failed, after retries.
        DiskFull, HomeNotWritable, ConfigError: no source can be fetched like this.
    """
    notes = YtDlpLogger()
    with (
        staging(folder) as here,
        make_downloader(ingest, notes, allow_link_local=allow_link_local) as downloader,
    ):
        reader = _PageReader(downloader, notes, folder, here, ingest)
        yield from islice(reader.fetch(_Page(origin)), ingest.max_items)


class _PageReader:
    """One yt-dlp and where its files go."""

    def __init__(self, downloader: Any, notes: YtDlpLogger, folder: Path, here: Path, ingest: Ingest) -> None:
        self._downloader, self._notes = downloader, notes
        self._folder, self._here, self._ingest = folder, here, ingest
        self._receipts = DownloadArchive(folder)

    def fetch(self, page: _Page) -> Iterator[FetchedSource | FailedSource]:
        """A page's video or, entry by entry, its list.

        Raises:
            SourceError: the page failed; of an entry, it is yielded.
        """
        if known := self._receipts.find(page.origin.spec):
            yield replace(known, origin=_described(known.origin, page.origin))
            return
        found = self._patiently(lambda: self._read(page), page)
        if isinstance(found, FetchedSource):
            yield found
            return
        for entry in self._entries(found, page):
            try:
                yield from self.fetch(entry)
            except SourceError as exc:
                yield FailedSource.of(entry.origin, exc)

    def _read(self, page: _Page) -> FetchedSource | Info:
        """The page's video, downloaded, or its list, unread."""
        info = self._resolve(page)
        if info.get("_type") in _LISTS:
            return info
        key = _site_key(info)
        if key and (known := self._receipts.find(key)):
            fetched = replace(known, origin=_described(known.origin, page.origin))
            self._receipts.keep(fetched, page.origin.spec)
            return fetched
        return self._download(info, page)

    def _resolve(self, page: _Page) -> Info:
        """What yt-dlp says of the page, through pages that only name another."""
        info: Info | None = dict(page.info) if page.info else None
        url, reader = page.url, page.reader
        for _ in range(MAX_FORWARDS):
            info = info or self._downloader.extract_info(url, download=False, ie_key=reader, process=False)
            if not info:
                raise UnsupportedVideo("nothing was found on the page")
            if info.get("_type") != "url":
                return info
            url, reader, info = info["url"], info.get("ie_key"), None
        raise UnsupportedVideo(f"more than {MAX_FORWARDS} pages that name another")

    def _download(self, info: Info, page: _Page) -> FetchedSource:
        done = self._downloader.process_ie_result(_with_safe_suffixes(info), download=True)
        if not done or done.get("_type") in _LISTS or not done.get("requested_downloads"):
            raise UnsupportedVideo("nothing on the page could be downloaded")
        path = Path(done["requested_downloads"][0]["filepath"])
        fetched = FetchedSource(
            _downloaded_origin(done, page.origin), move_into_store(path, self._folder, suffix=path.suffix)
        )
        self._receipts.keep(fetched, page.origin.spec, _site_key(done) or page.origin.spec)
        return fetched

    def _entries(self, listing: Info, page: _Page) -> Iterator[_Page]:
        """The pages on a list; a list that breaks off midway ends with its failure."""
        parents = (*page.parents, page.origin.spec)
        if len(parents) > MAX_PLAYLIST_DEPTH:
            raise UnsupportedVideo(f"{page.origin.spec}: playlists within playlists; name the one you want")
        entries = iter(listing.get("entries") or ())
        for position in count(1):
            try:
                entry = next(entries, _NO_MORE)
            except Exception as exc:  # noqa: BLE001  # any site's reader can fail in any way
                raise self._as_ours(exc, page) from _shown_cause(exc, page)
            if entry is _NO_MORE:
                return
            listed = _listed_page(entry, listing, page, parents, position) if entry else None
            if listed and listed.origin.spec not in parents:
                yield listed

    def _patiently(self, call: Callable[[], T], page: _Page) -> T:
        """Try again what may go better later, with growing pauses, or those that the server asks for."""
        pause = backoff(self._ingest)

        def wait(state: RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            asked = retry_after_s(failure) if failure else None
            return min(max(pause(state.attempt_number - 1), asked or 0.0), MAX_PAUSE_S)

        attempts = Retrying(
            stop=stop_after_attempt(self._ingest.retries + 1),
            wait=wait,
            retry=retry_if_exception(self._is_worth_retrying),
            reraise=True,
        )
        try:
            with staging(self._here) as home:  # of this page's own: what is half there is resumed
                self._downloader.params["paths"] = {"home": str(home)}
                return attempts(call)
        except MaskmillError as exc:
            raise _named(exc, page) from exc.__cause__
        except Exception as exc:  # noqa: BLE001  # any site's reader can fail in any way
            raise self._as_ours(exc, page) from _shown_cause(exc, page)

    def _is_worth_retrying(self, failure: BaseException) -> bool:
        if not isinstance(failure, Exception) or storage_failure(failure):
            return False
        return issubclass(classify_failure(failure, warnings=self._notes.warnings), _WORTH_RETRYING)

    def _as_ours(self, failure: Exception, page: _Page) -> MaskmillError:
        if broken := storage_failure(failure):
            return broken
        kind = classify_failure(failure, warnings=self._notes.warnings)
        reason = redact_text(spoken_words(str(failure)), url=page.url)[:_MAX_REASON_LENGTH]
        advice = ADVICE.get(kind, "look at the page in a browser")
        return kind(f"{page.origin.spec}: {reason}; {advice}")


def _shown_cause(failure: Exception, page: _Page) -> Exception | None:
    """The cause to show; none where it holds the URL with its password."""
    return failure if page.url == redact_url(page.url) else None


def _named(error: MaskmillError, page: _Page) -> MaskmillError:
    """Our own refusals, raised deep inside, know only the address at hand."""
    if not isinstance(error, SourceError) or page.origin.spec in str(error):
        return error
    return type(error)(f"{page.origin.spec}: {redact_text(str(error), url=page.url)}")


def _listed_page(
    entry: Info, listing: Info, page: _Page, parents: tuple[str, ...], position: int
) -> _Page | None:
    """An entry as a page of its own; None for one without an address that could be fetched."""
    inherited = {"license": page.origin.license, "uploader": page.origin.uploader}
    if entry.get("_type") in ("url", "url_transparent"):
        url = str(entry.get("url"))
        if url_scheme(url) not in PAGE_SCHEMES:
            return None
        shown = redact_url(_plain_url(url))
        origin = SourceItem(
            shown, "url", url=shown, title=entry.get("title"), address=SecretStr(url), **inherited
        )
        whole = entry if entry["_type"] == "url_transparent" else None  # it adds to what its page says
        return _Page(origin, reader=entry.get("ie_key"), info=whole, parents=parents)
    keys = ("webpage_url", "original_url", "extractor", "extractor_key")
    info = {key: listing[key] for key in keys if key in listing} | entry
    shown = f"{redact_url(info.get('webpage_url') or page.url)}#{entry.get('id') or position}"
    origin = SourceItem(shown, "url", url=page.origin.url, address=page.origin.address, **inherited)
    return _Page(origin, info=info, parents=parents)


def _plain_url(url: str) -> str:
    """Without what yt-dlp writes to itself behind the `#`."""
    from yt_dlp.utils import unsmuggle_url

    return str(unsmuggle_url(url)[0])


def _downloaded_origin(info: Info, origin: SourceItem) -> SourceItem:
    uploaded = str(info.get("upload_date") or "")
    return replace(
        origin,
        url=redact_url(info.get("webpage_url") or origin.connect_url),
        title=origin.title or info.get("title"),
        uploader=origin.uploader or info.get("uploader") or info.get("channel"),
        license=origin.license or info.get("license"),
        upload_date=date.fromisoformat(uploaded).isoformat() if uploaded else None,
        site=info.get("extractor_key"),
        site_id=info.get("id"),
        address=None,
    )


def _described(known: SourceItem, asked: SourceItem) -> SourceItem:
    """What was downloaded before, under the name and with the notes it is asked for now."""
    return replace(
        known,
        spec=asked.spec,
        title=asked.title or known.title,
        uploader=asked.uploader or known.uploader,
        license=asked.license or known.license,
    )


def _site_key(info: Info) -> str | None:
    """What names a video whatever URL led to it; None where only the URL does."""
    if info.get("_type", "video") != "video" or info.get("extractor_key", "Generic") == "Generic":
        return None
    return f"{info['extractor_key']} {info['id']}" if info.get("id") else None


def _with_safe_suffixes(info: Info) -> Info:
    """yt-dlp refuses files whose URL ends in `.php` or the like; what is kept is named by content."""
    from yt_dlp.utils import MEDIA_EXTENSIONS

    def safe(one: Info) -> Info:
        known = one.get("ext") is None or one["ext"] in {*MEDIA_EXTENSIONS.video, *MEDIA_EXTENSIONS.audio}
        return one if known else {**one, "ext": "unknown_video"}

    formats = {"formats": [safe(one) for one in info["formats"]]} if info.get("formats") else {}
    return {**safe(info), **formats}
