"""Small servers on this machine: web sites, streams and cameras."""

import base64
import io
import re
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Lock, Thread

import av

from tests.fakes.videos import encode_numbers

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """A web server whose pages are functions, and what it was asked for."""

    pages: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range header) in order."""
    bodies: list[bytes] = field(default_factory=list)
    """What was posted."""
    port: int = 0
    host: str = "127.0.0.1"

    def url(self, path: str) -> str:
        return f"http://{self.host}:{self.port}{path}"

    def count(self, path: str) -> int:
        return sum(asked == path for _, asked, _ in self.requests)


@contextmanager
def serve(host: str = "127.0.0.1") -> Iterator[Site]:
    """Run a site until the end of the block."""
    site = Site(host=host)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            site.requests.append((self.command, self.path, self.headers.get("Range")))
            answer = site.pages.get(self.path.partition("?")[0], send_status(404))
            with suppress(ConnectionError):  # whoever asked has gone
                answer(self)

        def do_POST(self) -> None:
            site.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.do_GET()

        do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Not to the terminal."""

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    site.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serve_bytes(content: bytes) -> Iterator[int]:
    """Send the same to whoever connects, and hang up; gives the port."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                self.wfile.write(content)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def send_file(
    content: bytes,
    *,
    kind: str = "video/mp4",
    stop_at: int | None = None,
    ranges: bool = True,
    **headers: str,
) -> Answer:
    """Answer with bytes; with `stop_at` the connection breaks there although more was promised."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        begin = _range_begin(handler) if ranges else 0
        handler.send_response(206 if begin else 200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content) - begin))
        handler.send_header("Connection", "close")
        if begin:
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content[begin:stop_at])

    return answer


def send_status(status: int, **headers: str) -> Answer:
    """Answer with an error and no page."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": "0", "Connection": "close", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def send_page(html: str, *, kind: str = "text/html; charset=utf-8") -> Answer:
    return send_file(html.encode(), kind=kind, ranges=False)


def in_turn(*answers: Answer) -> Answer:
    """The first request gets the first answer and so on; the last is for all that follow."""
    waiting, lock = list(answers), Lock()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        with lock:
            now = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        now(handler)

    return answer


def send_stream(
    content: bytes, *, kind: str = "video/mp2t", seconds: float = 0.0, pieces: int = 20
) -> Answer:
    """Send without saying how much, over so many seconds, then hang up: what a camera does on a drop."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Connection", "close")
        handler.end_headers()
        step = -(-len(content) // pieces)
        for begin in range(0, len(content), step):
            handler.wfile.write(content[begin : begin + step])
            handler.wfile.flush()
            time.sleep(seconds / pieces)

    return answer


_CLOCK_BEGIN = 123_456
"""RTP clocks begin anywhere; FFmpeg takes 0 for "not known yet"."""


class _RtspSession(StreamRequestHandler):
    """One client: asked for a password, told of one H.264 stream, and sent it over the same connection."""

    server: "_RtspServer"

    def handle(self) -> None:
        with suppress(ConnectionError):
            playing = False
            while not playing and (request := self._read_request()):
                self._answer(request)
                playing = request["method"] == "PLAY"
            if playing:
                self._play()

    def _read_request(self) -> dict[str, str]:
        # up to an empty line or the end; a line of who hung up is empty, again and again
        asked = takewhile(bytes.strip, iter(self.rfile.readline, b""))
        first, *lines = [line.decode().strip() for line in asked] or [""]
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        return {"method": first.split(" ")[0], **headers} if first else {}

    def _answer(self, request: dict[str, str]) -> None:
        method, body = request["method"], ""
        headers = {
            "CSeq": request.get("cseq", "0"),
            "Session": "1",
            "Public": "OPTIONS, DESCRIBE, SETUP, PLAY",
        }
        status = "200 OK"
        password = request.get("authorization", "")
        if method == "DESCRIBE" and password != self.server.authorization.lower():
            status, headers["WWW-Authenticate"] = "401 Unauthorized", 'Basic realm="cam"'
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
            )
            headers |= {"Content-Type": "application/sdp", "Content-Length": str(len(body))}
        elif method == "SETUP":
            headers["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
        lines = [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in headers.items()), "", body]
        self.wfile.write("\r\n".join(lines).encode())

    def _play(self) -> None:
        number = 0
        for clock, nals in self.server.take_clip():
            for position, nal in enumerate(nals):
                last = position == len(nals) - 1
                header = struct.pack("!BBHII", 0x80, 96 | last << 7, number & 0xFFFF, clock, 7)
                packet = header + nal
                self.wfile.write(b"$\0" + struct.pack("!H", len(packet)) + packet)
                number += 1
            self.wfile.flush()
            time.sleep(0.02)


class _RtspServer(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, clips: Sequence[Sequence[int]], authorization: str) -> None:
        super().__init__(("127.0.0.1", 0), _RtspSession)
        self.authorization = authorization
        self.plays = 0
        self._clips = list(clips)

    def take_clip(self) -> list[tuple[int, list[bytes]]]:
        """The next clip as (time in 1/90000 s, NAL units) of each image; then none."""
        self.plays += 1
        if not self._clips:
            return []
        with av.open(
            io.BytesIO(encode_numbers(self._clips.pop(0), form="h264")), "r", format="h264"
        ) as container:
            images = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        return [
            (_CLOCK_BEGIN + 9000 * i, re.split(b"\0\0\0?\1", image)[1:]) for i, image in enumerate(images)
        ]


@contextmanager
def serve_rtsp(*clips: Sequence[int], user: str, password: str) -> Iterator[_RtspServer]:
    """Run a camera that sends numbered frames at 10 a second (and five times as fast), a clip a connection."""
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    server = _RtspServer(clips, f"Basic {word}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _range_begin(handler: BaseHTTPRequestHandler) -> int:
    asked = handler.headers.get("Range", "")
    return int(asked.removeprefix("bytes=").partition("-")[0] or 0) if asked.startswith("bytes=") else 0
