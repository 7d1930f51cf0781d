"""Small servers on this machine, and videos for them to serve, for tests of what really happens."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

BITS = 10
"""Frame numbers are drawn as so many black or white stripes, which survive any coding."""

Answer = Callable[[BaseHTTPRequestHandler], None]


def draw_number(number: int, size_hw: tuple[int, int] = (64, 160)) -> NDArray[np.uint8]:
    """A picture that shows its number."""
    height, width = size_hw
    bits = [255 if number >> bit & 1 else 0 for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8), width // BITS)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def read_number(rgb: NDArray[np.uint8]) -> int:
    """What `draw_number` drew."""
    stripe = rgb.shape[1] // BITS
    means = [rgb[:, bit * stripe : (bit + 1) * stripe].mean() for bit in range(BITS)]
    return sum(1 << bit for bit, mean in enumerate(means) if mean > 128)


def read_numbers(path: Path) -> list[int]:
    """The numbers of a video's frames, in order of time."""
    with av.open(str(path)) as container:
        return [read_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def make_video(
    numbers: Sequence[int],
    *,
    fps: int = 10,
    form: str = "mp4",
    codec: str = "libx264",
    gop: int = 10,
) -> bytes:
    """A video of numbered frames, with a key frame every `gop` of them."""
    file = io.BytesIO()
    options = {"crf": "20", "bf": "0", "sc_threshold": "0"} if codec == "libx264" else {}
    with av.open(file, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = 64, 160
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        for position, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
            frame.pts, frame.time_base = position, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@dataclass
class Site:
    """A web server whose pages are functions, and what it was asked for."""

    pages: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range header) in order."""
    port: int = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def count(self, path: str) -> int:
        return sum(asked == path for _, asked, _ in self.requests)


@contextmanager
def serve() -> Iterator[Site]:
    """Run a site until the end of the block."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            site.requests.append((self.command, self.path, self.headers.get("Range")))
            answer = site.pages.get(self.path.partition("?")[0], send_status(404))
            with suppress(ConnectionError):  # whoever asked has gone
                answer(self)

        do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Not to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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


def _range_begin(handler: BaseHTTPRequestHandler) -> int:
    asked = handler.headers.get("Range", "")
    return int(asked.removeprefix("bytes=").partition("-")[0] or 0) if asked.startswith("bytes=") else 0
