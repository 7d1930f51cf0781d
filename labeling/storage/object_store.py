"""Objects below a URL, wherever fsspec reaches: written whole, and tried again while the server is away.

Keys and endpoints come from where each protocol looks for them (`AWS_*`, `GOOGLE_*`, fsspec's own
configuration): they are in no URL, config, log or database of ours.
"""

import errno
import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from configs.errors import ConfigError
from labeling.errors import StorageError, StoreDenied, StoreUnreachable
from labeling.runtime.thread_pool import AT_ONCE

T = TypeVar("T")

RETRY_FOR_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 8.0
_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "memory"}
"""Protocols whose write shows all of an object or nothing; in others it is written beside and moved."""
_S3 = {"s3", "s3a"}
_PART_BYTES = 8 << 20
"""S3 takes 10,000 parts of 5 MiB and more."""
_LOCAL = {"", "file", "local"}
_PASSING = {errno.EBUSY, errno.EIO, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EPIPE, errno.EAGAIN}
"""s3fs gives 503 as EBUSY, 500 as EREMOTEIO, and what it does not know as EIO."""
_PASSING_NAMES = {
    *("HTTPClientError", "EndpointConnectionError", "ConnectTimeoutError", "ResponseParserError"),
    *("ClientConnectionError", "ClientPayloadError"),
}
"""botocore's and aiohttp's own, which are no OSErrors; they may not be installed."""
_NO_KEYS_NAMES = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
}
_TOO_MANY, _SERVER_FAULT = 429, 500
"""HTTP statuses: from the second on, they are the server's fault."""

_stores: dict[tuple[int, str], "ObjectStore"] = {}
_opening = threading.Lock()


def protocol_of(address: str) -> str:
    """`s3` of `s3://bucket/prefix`; empty for a path."""
    protocol, mark, _ = address.partition("://")
    return protocol if mark else ""


def local_path(address: str) -> Path | None:
    """The path of `/a/path` or `file:///a/path`; None: it is elsewhere."""
    if protocol_of(address) not in _LOCAL:
        return None
    return Path(address.partition("://")[2] or address).expanduser().absolute()


def known_store(url: str) -> "ObjectStore":
    """This process's connection to the store; a forked child gets one of its own.

    Raises:
        ConfigError: no URL that fsspec can open here.
    """
    key = (os.getpid(), url)
    with _opening:
        if key not in _stores:
            _stores[key] = ObjectStore(url)
        return _stores[key]


class ObjectStore:
    """What lies below one URL; names are relative to it. Threads may share it.

    Every method may raise
        StoreUnreachable: it did not answer, or with an error of its own, for `RETRY_FOR_S`.
        StoreDenied: no such bucket, no keys, or they are refused: told at once.
        StorageError: anything else.
    """

    def __init__(self, url: str) -> None:
        """Raises ConfigError if `url` holds a password or nothing here can open it; asks no server."""
        _refuse_password(url)
        self.url = url.rstrip("/")
        self.protocol = protocol_of(url)
        self._fs, self._base = _open(self.url, self.protocol)

    def put(self, name: str, content: bytes, *, abandoned: threading.Event | None = None) -> None:
        """Write an object whole. `abandoned`: an event that ends trying again."""
        self._send(name, lambda path: self._fs.pipe_file(path, content), abandoned)

    def upload(self, file: Path, name: str) -> None:
        """Write a file as an object, whole, in parts that fit in memory."""
        parts = {"chunksize": _PART_BYTES, "max_concurrency": 2} if self.protocol in _S3 else {}
        self._send(name, lambda path: self._fs.put_file(str(file), path, **parts), None)

    def has(self, name: str, *, abandoned: threading.Event | None = None) -> bool:
        # Asks for the first byte, which is one question; s3fs's `exists` may ask three.
        try:
            self._try(lambda: self._fs.cat_file(self._path(name), start=0, end=1), abandoned)
        except FileNotFoundError:
            return False
        return True

    def get(self, name: str) -> bytes:
        """Raises FileNotFoundError where there is none."""
        return bytes(self._try(lambda: self._fs.cat_file(self._path(name))))

    def copy(
        self, source: "ObjectStore", name: str, to: str, *, abandoned: threading.Event | None = None
    ) -> None:
        """Copy from a store of the same kind, without the bytes passing here if it can do that.

        Raises:
            FileNotFoundError: there is none.
        """
        path, target = source._path(name), self._path(to)
        self._try(lambda: self._write_whole(target, lambda whole: self._fs.cp_file(path, whole)), abandoned)

    def entries(self) -> set[str]:
        """First parts of the names that are there."""
        try:
            listed = self._try(lambda: self._fs.ls(self._base, detail=False))
        except FileNotFoundError:
            return set()
        return {PurePosixPath(path).name for path in listed} - {PurePosixPath(self._base).name}

    def names(self, below: str) -> Iterator[str]:
        """Names of all objects below a folder, or of the one that is called so."""
        try:
            found = self._try(lambda: self._fs.find(self._path(below)))
        except FileNotFoundError:
            return
        start = len(self._base) + 1
        yield from (path[start:] for path in found)

    def remove(self, names: Collection[str]) -> None:
        """Remove objects that are there."""
        if names:
            self._try(lambda: self._fs.rm([self._path(name) for name in names]))

    def check(self) -> None:
        """Write, read, list and remove a small object of a new name, without trying again."""
        name, content = f".check-{secrets.token_hex(8)}", b"written by maskmill doctor\n"
        abandoned = threading.Event()
        abandoned.set()
        self.put(name, content, abandoned=abandoned)
        if self.get(name) != content or name not in self.entries():
            raise StorageError(
                f"{self.url} does not show at once what is written there: maskmill relies on that"
            )
        self.remove([name])

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    def _send(self, name: str, write: Callable[[str], object], abandoned: threading.Event | None) -> None:
        path = self._path(name)
        try:
            self._try(lambda: self._write_whole(path, write), abandoned)
        except FileNotFoundError as exc:
            raise self._no_bucket() from exc

    def _write_whole(self, path: str, write: Callable[[str], object]) -> None:
        if self.protocol in _WHOLE:
            write(path)
            return
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        temporary = f"{path}.{secrets.token_hex(8)}.writing"
        write(temporary)
        self._fs.mv(temporary, path)

    def _try(self, call: Callable[[], T], abandoned: threading.Event | None = None) -> T:
        """Call until it answers. FileNotFoundError passes: what it means, the caller knows."""
        event = abandoned or threading.Event()
        retrying = Retrying(
            retry=retry_if_exception(_passes),
            stop=stop_after_delay(RETRY_FOR_S) | stop_when_event_set(event),
            wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
            sleep=sleep_using_event(event),
            reraise=True,
        )
        try:
            return retrying(call)
        except FileNotFoundError:
            raise
        except Exception as exc:  # every protocol has errors of its own
            raise self._explain(exc) from exc

    def _explain(self, exc: Exception) -> StorageError:
        if _is_called(exc, _NO_KEYS_NAMES):
            return StoreDenied(
                f"{self.url}: no keys for it ({exc}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        if isinstance(exc, PermissionError):
            return StoreDenied(
                f"{self.url} refuses our keys ({exc}): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that "
                "they may list, read, write and delete there"
            )
        if _passes(exc):
            return StoreUnreachable(
                f"{self.url} did not answer as it should for {RETRY_FOR_S:g} s ({type(exc).__name__}: {exc}): "
                "check AWS_ENDPOINT_URL and the network, then run the same command again; it goes on from here"
            )
        return StorageError(f"{self.url} cannot be used: {type(exc).__name__}: {exc}")

    def _no_bucket(self) -> StoreDenied:
        return StoreDenied(
            f"{self.url}: there is no such bucket: create it, or name another; AWS_ENDPOINT_URL says on which server"
        )


def _refuse_password(url: str) -> None:
    """The message does not repeat it."""
    if "@" in urlsplit(url).netloc:
        raise ConfigError(
            f"a {protocol_of(url)}:// URL with a password in it is not taken: it would show in messages; "
            "set it in the environment, where fsspec looks (AWS_ACCESS_KEY_ID, FSSPEC_...)"
        )


def _open(url: str, protocol: str) -> tuple[Any, str]:
    """fsspec's file system and the path in it."""
    import fsspec

    try:
        return fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **_options(protocol))  # type: ignore[no-any-return]  # fsspec has no types
    except ImportError as exc:
        extra = "pip install 'maskmill[s3]'" if protocol in _S3 else str(exc)
        raise ConfigError(f"{url}: nothing here opens {protocol}://: {extra}") from exc
    except ValueError as exc:
        raise ConfigError(
            f"{url}: {exc}; known are s3://, gs://, file:// and what else fsspec opens"
        ) from exc


def _options(protocol: str) -> Mapping[str, object]:
    """We alone try again, and every thread has a connection."""
    import fsspec.config

    if protocol not in _S3:
        return {}
    own = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    return {"config_kwargs": {"retries": {"max_attempts": 0}, "max_pool_connections": 2 * AT_ONCE} | own}


def _passes(exc: BaseException) -> bool:
    """Whether the same call may succeed soon."""
    status = _status_of(exc)
    if status is not None:
        return status == _TOO_MANY or status >= _SERVER_FAULT
    if isinstance(exc, TimeoutError | ConnectionError):
        return True
    return (isinstance(exc, OSError) and exc.errno in _PASSING) or _is_called(exc, _PASSING_NAMES)


def _status_of(exc: BaseException) -> int | None:
    """The HTTP status behind it: s3fs keeps it in the cause; gcsfs and adlfs, in the error."""
    response = getattr(exc.__cause__, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(exc, "code", None) or getattr(exc, "status_code", None)
    return status if isinstance(status, int) else None


def _is_called(exc: BaseException, names: Collection[str]) -> bool:
    return any(kind.__name__ in names for kind in type(exc).__mro__)
