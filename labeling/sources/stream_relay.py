"""A relay on this machine for streams that FFmpeg connects to itself: RTSP, RTMP and bare TCP.

FFmpeg would resolve the name again, and follow an RTSP redirect to any address. Here the connection is made by us, to
an address that is checked as it connects; FFmpeg gets a port on loopback, without TLS, which is done here.
"""

import re
import selectors
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from urllib.parse import urlsplit, urlunsplit

from configs.errors import SourceUnreachable, UnsupportedVideo
from labeling.sources.connections import checked_connections
from labeling.sources.url_policy import redact_url

RELAYED = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "tcp": 0}
"""Schemes and their usual ports, those of FFmpeg."""
_PLAIN = {"rtsps": "rtsp", "rtmps": "rtmp"}
_PIECE_BYTES = 64 * 1024
_LONGEST_LOCATION = 4096
_LOCATION = re.compile(rb"(?im)\nlocation:[ \t]*([^\n]*)\n")
_PLAY = re.compile(rb"(?m)^PLAY ")


@dataclass(slots=True)
class Relay:
    """One connection through this machine."""

    url: str
    """What FFmpeg opens."""
    options: dict[str, str] = field(default_factory=dict)
    """What FFmpeg needs to know of the original address."""
    redirect: str | None = None
    """Where the RTSP server wants to be asked instead; FFmpeg has not seen it."""


@contextmanager
def relay(url: str, *, timeout_s: float, allow_link_local: bool = False) -> Iterator[Relay]:
    """Connect to the URL's host, checked, and forward one connection of FFmpeg to it.

    Raises:
        SourceUnreachable: the connection failed; another attempt may succeed.
        UnsupportedVideo: the host is, or resolves to, a refused address.
    """
    parts = urlsplit(url)
    remote = _connect(url, timeout_s=timeout_s, allow_link_local=allow_link_local)
    with remote, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        user = parts.netloc.rpartition("@")[0]
        here = f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"
        local = (_PLAIN.get(parts.scheme, parts.scheme), here, parts.path, parts.query, "")
        relayed = Relay(urlunsplit(local), _options(url))
        thread = Thread(target=_forward, args=(server, remote, relayed), daemon=True)
        thread.start()
        try:
            yield relayed
        finally:
            for one in (remote, server):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            thread.join(timeout_s)


def is_relayed(url: str) -> bool:
    """Return whether a URL is a connection to a host; `tcp://...?listen` waits for one instead."""
    parts = urlsplit(url)
    return parts.scheme.lower() in RELAYED and not (parts.scheme.lower() == "tcp" and "listen" in parts.query)


def _connect(url: str, *, timeout_s: float, allow_link_local: bool) -> socket.socket:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    with checked_connections(allow_link_local=allow_link_local) as check:
        try:
            address = (parts.hostname or "", parts.port or RELAYED[scheme])
            plain = socket.create_connection(address, timeout_s)
            return _with_tls(plain, address[0]) if scheme in _PLAIN else plain
        except TimeoutError:
            raise SourceUnreachable(f"no connection for {timeout_s:g} s") from None
        except (OSError, ValueError) as exc:
            if check.refusal:
                raise UnsupportedVideo(f"{redact_url(url)}: {check.refusal}") from None
            raise SourceUnreachable(getattr(exc, "strerror", None) or str(exc)) from None


def _with_tls(plain: socket.socket, host: str) -> socket.socket:
    """Return the socket with TLS; cameras sign their certificates themselves, so that none is verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=host)


def _options(url: str) -> dict[str, str]:
    """Return RTMP's address of the application, by which servers with several names choose."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in {"rtmp", "rtmps"}:
        return {}
    names = parts.path.strip("/").split("/")
    application = "/".join(names[: max(len(names) - 1, 1)][:2])
    host = parts.netloc.rpartition("@")[2]
    return {"rtmp_tcurl": f"{parts.scheme}://{host}/{application}"}


def _forward(server: socket.socket, remote: socket.socket, relayed: Relay) -> None:
    """Forward bytes both ways until one side ends, or the server redirects before anything is played."""
    with suppress(OSError, ValueError):
        local, _ = server.accept()
        with local, selectors.DefaultSelector() as ready:
            ready.register(local, selectors.EVENT_READ)
            ready.register(remote, selectors.EVENT_READ)
            scan = _RedirectScan() if relayed.url.startswith("rtsp:") else None
            while True:
                waiting = isinstance(remote, ssl.SSLSocket) and remote.pending()
                readable = [remote] if waiting else [key.fileobj for key, _ in ready.select()]
                for one in (side for side in (local, remote) if side in readable):
                    piece = one.recv(_PIECE_BYTES)
                    if not piece:
                        return
                    if scan and (location := scan.see(piece, from_server=one is remote)):
                        relayed.redirect = location
                        return
                    (local if one is remote else remote).sendall(piece)


class _RedirectScan:
    """Finds the `Location` of an RTSP answer in whatever pieces it comes, until the client plays."""

    def __init__(self) -> None:
        self._tail = b""
        self._asked = b""
        self._plays = False

    def see(self, piece: bytes, *, from_server: bool) -> str | None:
        """Return the location when it is complete; its piece must not be forwarded."""
        if self._plays:
            return None
        if not from_server:
            self._plays = bool(_PLAY.search(self._asked + piece))
            self._asked = (self._asked + piece)[-len(b"\nPLAY ") :]
            return None
        text = self._tail + piece.replace(b"\r", b"")  # as FFmpeg, which leaves it out anywhere in a line
        found = _LOCATION.search(text)
        self._tail = text[-_LONGEST_LOCATION:]
        return found[1].decode(errors="replace").strip() if found else None
