"""A segmenter behind HTTP, asked over a real connection to a server on this machine."""

import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import cv2
import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError, ModelOutputWrong, SegmenterUnreachable
from configs.load import load_config
from configs.segmenters import HttpBlock
from labeling.segmenters import http_service
from labeling.segmenters.http_service import HttpSegmenter
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip, Frame

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
FRAME = Frame("ab" * 32, 2500, RGB)
TOKEN = "sesame-0123456789"  # noqa: S105 - opens nothing


@dataclass
class Call:
    """What the server was sent."""

    headers: dict[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Service:
    """Gives its answers in turn, the last one for ever, and keeps what it was sent."""

    answers: list[Answer]
    calls: list[Call] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.calls.append(Call({k.lower(): v for k, v in handler.headers.items()}, body))
        self.answers[min(len(self.calls), len(self.answers)) - 1](handler)


@contextmanager
def serve(*answers: Answer) -> Iterator[Service]:
    service = Service(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            try:
                service.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}/segment"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(body: bytes, *, media_type: str = "image/png", status: int = 200, **headers: str) -> Answer:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", media_type)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return write


def labels_png(*values: int, size_hw: tuple[int, int] = (6, 8)) -> bytes:
    labels = np.zeros(size_hw, dtype=np.uint8)
    for row, value in enumerate(values):
        labels[row] = value
    return cv2.imencode(".png", labels)[1].tobytes()


def segmenter(url: str, **options: object) -> HttpSegmenter:
    """One that does not pause; its pauses are in `pauses`."""
    return HttpSegmenter(HttpBlock.model_validate({"url": url, **options}), sleep=lambda _: None)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_the_image_is_sent_exactly_and_the_labels_come_back() -> None:
    with serve(reply(labels_png(0, 2, 1))) as service:
        found = segmenter(service.url).segment([FRAME, FRAME])
        assert [[i.box_xywh[1] for i in instances] for instances in found] == [[2, 1], [2, 1]]
        sent = np.asarray(Image.open(io.BytesIO(service.calls[0].body)))
        assert np.array_equal(sent, RGB)
        headers = service.calls[0].headers
        assert (headers["content-type"], headers["x-video-id"], headers["x-time-ms"]) == (
            "image/png", FRAME.video_id, "2500",
        )  # fmt: skip
        assert "authorization" not in headers


def test_probabilities_are_thresholded_by_the_block() -> None:
    answer = reply(labels_png(0, 100, 200), media_type="image/png; map=probability")
    with serve(answer) as service:
        rows = [
            [i.box_xywh for i in segmenter(service.url, mask_threshold=above).segment([FRAME])[0]]
            for above in (0.3, 0.5, 0.9)
        ]
    assert rows == [[(0, 1, 8, 2)], [(0, 2, 8, 1)], []]


def test_coco_results_and_an_empty_response_are_read() -> None:
    square = {"category_id": 1, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]], "score": 0.75}
    results = reply(json.dumps([square]).encode(), media_type="application/json; charset=utf-8")
    with serve(results, reply(b"", status=204)) as service:
        found = segmenter(service.url).segment([FRAME, FRAME])
    assert [(i.score, i.box_xywh) for i in found[0]] == [(0.75, (1, 1, 3, 2))]
    assert found[1] == []


def test_results_have_a_category_and_a_score() -> None:
    square = {"category_id": 0, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]], "score": 0.75}
    dog = {**square, "category_id": 18}
    answers = [
        reply(json.dumps(records).encode(), media_type="application/json")
        for records in ([square, {**square, "score": 0.3}], [dog], [square])
    ]
    with serve(*answers) as service:
        found = segmenter(service.url, person_category=("0",)).segment([FRAME, FRAME])
        assert [len(one) for one in found] == [1, 0]
        with pytest.raises(ModelOutputWrong, match=r"none of category_id 1 \(people\); found: 0"):
            segmenter(service.url).segment([FRAME])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_requests_to_a_busy_service_are_repeated_with_growing_pauses(status: int) -> None:
    pauses: list[float] = []
    busy = reply(b"busy", status=status)
    with serve(busy, busy, busy, reply(labels_png(0, 1))) as service:
        block = HttpBlock(url=service.url, retries=3)
        assert len(HttpSegmenter(block, sleep=pauses.append).segment([FRAME])[0]) == 1
        assert len(service.calls) == 4
    assert pauses == [0.5, 1.0, 2.0]


def test_retry_after_is_honored_in_seconds_and_as_a_date_up_to_a_minute() -> None:
    pauses: list[float] = []
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    answers = [reply(b"", status=503, Retry_After=after) for after in ("7", soon, "99999", "nonsense")]
    with serve(*answers, reply(labels_png(1))) as service:
        HttpSegmenter(HttpBlock(url=service.url, retries=4), sleep=pauses.append).segment([FRAME])
    assert pauses == [7.0, pytest.approx(29.5, abs=1.5), 60.0, 4.0]


def test_a_service_that_stays_busy_is_unreachable() -> None:
    with serve(reply(b"", status=503)) as service:
        with pytest.raises(SegmenterUnreachable, match=r"/segment did not answer in 3 attempts.*503"):
            segmenter(service.url + "?area=hidden", retries=2).segment([FRAME])
        assert len(service.calls) == 3


def test_a_refused_connection_is_unreachable() -> None:
    with serve(reply(b"")) as service:
        url = service.url
    with pytest.raises(SegmenterUnreachable, match="ConnectError"):
        segmenter(url, retries=1).segment([FRAME])


def test_a_slow_service_times_out() -> None:
    def sleepy(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.6)
        handler.close_connection = True

    with serve(sleepy) as service:
        began = time.monotonic()
        with pytest.raises(SegmenterUnreachable, match=r"ReadTimeout after 0\.2 s"):
            segmenter(service.url, retries=1, timeout_s=0.2).segment([FRAME])
        assert time.monotonic() - began < 0.6 * 2


def test_a_response_that_trickles_times_out() -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "image/png")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(20):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    with serve(trickle) as service, pytest.raises(SegmenterUnreachable, match=r"not complete after 0\.2 s"):
        segmenter(service.url, retries=0, timeout_s=0.2).segment([FRAME])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply(b"\x89PNG rubbish"), "not a readable PNG"),
        (reply(labels_png(1, size_hw=(3, 4))), "the mask is 4x3 px, its frame 8x6"),
        (reply(b"<html>", media_type="text/html"), "Content-Type 'text/html'"),
        (reply(b"{", media_type="application/json"), "not JSON"),
        (reply(b"[" * 200_000, media_type="application/json"), "not JSON .*brackets"),
        (
            reply(
                b'[{"score": 1, "segmentation": [[0, 0, 1e9, 0, 1e9, 1e9]]}]', media_type="application/json"
            ),
            "far outside the image of 8x6",
        ),
        (reply(b"{}", media_type="application/json"), "must be a list"),
        (reply(b'[{"score": 1}]', media_type="application/json"), "no segmentation"),
    ],
)
def test_an_invalid_response_is_refused_without_repetition(answer: Answer, message: str) -> None:
    with serve(answer) as service:
        with pytest.raises(
            ModelOutputWrong, match=rf"response of http://127.*abababababab at 2500 ms.*{message}"
        ):
            segmenter(service.url).segment([FRAME])
        assert len(service.calls) == 1


def test_a_wrong_content_encoding_is_refused_without_repetition() -> None:
    with serve(reply(b"not gzip at all", Content_Encoding="gzip")) as service:
        with pytest.raises(ModelOutputWrong, match=r"http://127.*/segment .*Content-Encoding"):
            segmenter(service.url).segment([FRAME])
        assert len(service.calls) == 1


def test_a_response_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_service, "LARGEST_RESPONSE_BYTES", 1000)
    with serve(reply(b"x" * 2000)) as service, pytest.raises(ModelOutputWrong, match="more than 1000 bytes"):
        segmenter(service.url).segment([FRAME])


@pytest.mark.parametrize(("status", "message"), [(401, "token"), (404, "status 404"), (302, "status 302")])
def test_a_refusal_is_not_repeated(status: int, message: str) -> None:
    with serve(reply(b"no", status=status, Location="/elsewhere")) as service:
        with pytest.raises(SegmenterUnreachable, match=message):
            segmenter(service.url).segment([FRAME])
        assert len(service.calls) == 1


def test_the_token_is_sent_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    with serve(reply(b"", status=403)) as service:
        asked = segmenter(service.url, token_env="MY_TOKEN")  # noqa: S106 - the variable's name
        with pytest.raises(SegmenterUnreachable, match="MY_TOKEN") as refused:
            asked.segment([FRAME])
        assert service.calls[0].headers["authorization"] == f"Bearer {TOKEN}"
    shown = [str(refused.value), repr(asked), repr(asked.card), repr(vars(asked)), caplog.text]
    assert not [text for text in shown if TOKEN in text]


@pytest.mark.parametrize("value", [None, "", "  ", "two words", "line\nbreak", "smörgås"])
def test_an_unusable_token_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("MY_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_TOKEN", value)
    with pytest.raises(ConfigError, match=r"MY_TOKEN \(token_env\)") as refused:
        segmenter("http://127.0.0.1:1/", token_env="MY_TOKEN")  # noqa: S106 - the variable's name
    assert not (value and value.strip() and value in str(refused.value))


@pytest.mark.parametrize(
    "url",
    ["ftp://host/x", "host/x", "http://", "file:///etc/passwd"],
)
def test_urls_that_are_not_http_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        segmenter(url)


@pytest.mark.parametrize(
    "url", ["http://me:hunter2@host/x", "https://host/x?api_key=hunter2", "https://host/x?a=1&token=hunter2"]
)
def test_a_config_with_a_secret_in_a_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match="token_env") as refused:
        load_config("lite", [f"student=http:{url}"])
    assert "hunter2" not in str(refused.value)


def test_the_card_names_the_service_without_its_query() -> None:
    asked = segmenter("https://host:8443/segment?area=hidden#part", mask_threshold=0.25)
    card = asked.card
    assert (card.kind, card.name, card.settings) == (
        "http", "https://host:8443/segment",
        '{"mask_threshold":0.25,"min_score":0.5,"person_category":[]}',
    )  # fmt: skip
    assert asked.prepare(Clip("ab" * 32)) is asked
    assert isinstance(asked, Segmenter)
