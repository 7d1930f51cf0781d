"""Objects below a URL that fsspec opens: written as a whole, with retries while the server is away.

Keys and endpoints come from where each protocol looks for them (`AWS_*`, `GOOGLE_*`, fsspec's own configuration). They
are in no URL, config, log or database of ours.
"""

import errno
import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from configs.errors import ConfigError, StorageError, StoreDenied, StoreUnreachable
from labeling.runtime.thread_pool import AT_ONCE

T = TypeVar("T")

RETRY_FOR_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 8.0
_ATOMIC = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "memory"}
"""Protocols whose writes show the whole object or nothing; others write a temporary object and rename it."""
_S3 = {"s3", "s3a"}
_PART_BYTES = 8 << 20
"""S3 accepts 10,000 parts of at least 5 MiB."""
_LOCAL = {"", "file", "local"}
_TEMPORARY_ERRNOS = {errno.EBUSY, errno.EIO, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EPIPE, errno.EAGAIN}
"""s3fs reports 503 as EBUSY, 500 as EREMOTEIO, and unknown errors as EIO."""
_TEMPORARY_CLASSES = {
    *("HTTPClientError", "EndpointConnectionError", "ConnectTimeoutError", "ResponseParserError"),
    *("ClientConnectionError", "ClientPayloadError"),
}
"""Errors of botocore and aiohttp that are no OSErrors, by name: the libraries may not be installed."""
_NO_KEYS_CLASSES = {
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"),
}
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500

_stores: dict[tuple[int, str], "ObjectStore"] = {}
_opening = threading.Lock()


def protocol_of(address: str) -> str:
    """Return `s3` for `s3://bucket/prefix`; empty for a path."""
    protocol, separator, _ = address.partition("://")
    return protocol if separator else ""


def local_path(address: str) -> Path | None:
    """Return the path of `/a/path` or `file:///a/path`; None for other URLs."""
    if protocol_of(address) not in _LOCAL:
        return None
    return Path(address.partition("://")[2] or address).expanduser().absolute()


def known_store(url: str) -> "ObjectStore":
    """Return this process's connection to a store; a forked child gets its own."""
    key = (os.getpid(), url)
    with _opening:
        if key not in _stores:
            _stores[key] = ObjectStore(url)
        return _stores[key]


class ObjectStore:
    """The objects below one URL, by names relative to it. Threads may share it.

    Every method may raise
        StoreUnreachable: no answer, or an error of the server, for `RETRY_FOR_S`.
        StoreDenied: no such bucket, no keys, or refused keys; raised without retries.
        StorageError: anything else.
    """

    def __init__(self, url: str) -> None:
        """Asks no server; raises ConfigError if `url` holds a password or no installed library opens it."""
        _refuse_password(url)
        self.url = url.rstrip("/")
        self.protocol = protocol_of(url)
        self._fs, self._base = _open(self.url, self.protocol)

    def put(self, name: str, content: bytes, *, abandoned: threading.Event | None = None) -> None:
        """Write a whole object. The event `abandoned` ends the retries."""
        self._write(name, lambda path: self._fs.pipe_file(path, content), abandoned)

    def upload(self, file: Path, name: str) -> None:
        """Write a file as a whole object, in parts that fit in memory."""
        parts = {"chunksize": _PART_BYTES, "max_concurrency": 2} if self.protocol in _S3 else {}
        self._write(name, lambda path: self._fs.put_file(str(file), path, **parts), None)

    def has(self, name: str, *, abandoned: threading.Event | None = None) -> bool:
        # Reads the first byte, which is one request; s3fs's `exists` may send three.
        try:
            self._retry(lambda: self._fs.cat_file(self._path(name), start=0, end=1), abandoned)
        except FileNotFoundError:
            return False
        return True

    def get(self, name: str) -> bytes:
        """Return an object's content; raise FileNotFoundError if there is none."""
        return bytes(self._retry(lambda: self._fs.cat_file(self._path(name))))

    def copy(
        self, source: "ObjectStore", name: str, to: str, *, abandoned: threading.Event | None = None
    ) -> None:
        """Copy from a store of the same kind, on the server if it can; raise FileNotFoundError if there is none."""
        path, target = source._path(name), self._path(to)
        self._retry(lambda: self._write_whole(target, lambda whole: self._fs.cp_file(path, whole)), abandoned)

    def entries(self) -> set[str]:
        """Return the first parts of all names."""
        try:
            listed = self._retry(lambda: self._fs.ls(self._base, detail=False))
        except FileNotFoundError:
            return set()
        return {PurePosixPath(path).name for path in listed} - {PurePosixPath(self._base).name}

    def names(self, below: str) -> Iterator[str]:
        """Yield the names of all objects in a folder, or of the one object with this name."""
        try:
            found = self._retry(lambda: self._fs.find(self._path(below)))
        except FileNotFoundError:
            return
        start = len(self._base) + 1
        yield from (path[start:] for path in found)

    def remove(self, names: Collection[str]) -> None:
        """Remove existing objects."""
        if names:
            self._retry(lambda: self._fs.rm([self._path(name) for name in names]))

    def check(self) -> None:
        """Write, read, list and remove a small object with a new name, without retries."""
        name, content = f".check-{secrets.token_hex(8)}", b"written by maskmill doctor\n"
        abandoned = threading.Event()
        abandoned.set()
        self.put(name, content, abandoned=abandoned)
        if self.get(name) != content or name not in self.entries():
            raise StorageError(
                f"{self.url} does not show a new object at once, which maskmill requires: use another store"
            )
        self.remove([name])

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    def _write(self, name: str, write: Callable[[str], object], abandoned: threading.Event | None) -> None:
        path = self._path(name)
        try:
            self._retry(lambda: self._write_whole(path, write), abandoned)
        except FileNotFoundError as exc:
            raise StoreDenied(
                f"{self.url}: there is no such bucket: create it, or name another; AWS_ENDPOINT_URL sets the server"
            ) from exc

    def _write_whole(self, path: str, write: Callable[[str], object]) -> None:
        if self.protocol in _ATOMIC:
            write(path)
            return
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        temporary = f"{path}.{secrets.token_hex(8)}.writing"
        write(temporary)
        self._fs.mv(temporary, path)

    def _retry(self, call: Callable[[], T], abandoned: threading.Event | None = None) -> T:
        """Repeat a call while its error is temporary. FileNotFoundError passes: each caller handles it."""
        import tenacity  # only here: commands that read a home on this machine do without it

        event = abandoned or threading.Event()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_temporary),
            stop=tenacity.stop_after_delay(RETRY_FOR_S) | tenacity.stop_when_event_set(event),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
            sleep=tenacity.sleep_using_event(event),
            reraise=True,
        )
        try:
            return retrying(call)
        except FileNotFoundError:
            raise
        except Exception as exc:  # every protocol has its own errors
            raise self._as_ours(exc) from exc

    def _as_ours(self, exc: Exception) -> StorageError:
        if _is_of(exc, _NO_KEYS_CLASSES):
            return StoreDenied(
                f"{self.url}: no keys for it ({exc}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        if isinstance(exc, PermissionError):
            return StoreDenied(
                f"{self.url} refuses our keys ({exc}): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that "
                "they may list, read, write and delete there"
            )
        if _is_temporary(exc):
            return StoreUnreachable(
                f"{self.url} did not answer correctly for {RETRY_FOR_S:g} s ({type(exc).__name__}: {exc}): "
                "check AWS_ENDPOINT_URL and the network, then run the same command again; it continues from here"
            )
        return StorageError(f"{self.url} cannot be used: {type(exc).__name__}: {exc}; check the store")


def _refuse_password(url: str) -> None:
    """Raise ConfigError without the password in it."""
    if "@" in urlsplit(url).netloc:
        raise ConfigError(
            f"a {protocol_of(url)}:// URL must not hold a password: messages would show it; "
            "set it in the environment, where fsspec looks (AWS_ACCESS_KEY_ID, FSSPEC_...)"
        )


def _open(url: str, protocol: str) -> tuple[Any, str]:
    """Return fsspec's file system and the path in it."""
    import fsspec

    try:
        return fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **_options(protocol))  # type: ignore[no-any-return]  # fsspec has no types
    except ImportError as exc:
        extra = "pip install 'maskmill[s3]'" if protocol in _S3 else str(exc)
        raise ConfigError(f"{url}: no installed library opens {protocol}://: {extra}") from exc
    except ValueError as exc:
        raise ConfigError(f"{url}: {exc}; use s3://, gs://, file:// or another protocol of fsspec") from exc


def _options(protocol: str) -> Mapping[str, object]:
    """Return options that leave retries to us and give every thread a connection."""
    import fsspec.config

    if protocol not in _S3:
        return {}
    own = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    return {"config_kwargs": {"retries": {"max_attempts": 0}, "max_pool_connections": 2 * AT_ONCE} | own}


def _is_temporary(exc: BaseException) -> bool:
    """Return whether the same call may succeed soon."""
    status = _status_of(exc)
    if status is not None:
        return status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
    if isinstance(exc, TimeoutError | ConnectionError):
        return True
    return (isinstance(exc, OSError) and exc.errno in _TEMPORARY_ERRNOS) or _is_of(exc, _TEMPORARY_CLASSES)


def _status_of(exc: BaseException) -> int | None:
    """Return the HTTP status: s3fs keeps it in the error's cause, gcsfs and adlfs in the error."""
    response = getattr(exc.__cause__, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(exc, "code", None) or getattr(exc, "status_code", None)
    return status if isinstance(status, int) else None


def _is_of(exc: BaseException, class_names: Collection[str]) -> bool:
    return any(kind.__name__ in class_names for kind in type(exc).__mro__)
