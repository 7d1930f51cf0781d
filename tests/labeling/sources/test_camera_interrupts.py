"""Recordings that a caller or Ctrl-C ends."""

import ctypes
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labeling.sources.cameras import Interrupt, record_camera
from labeling.sources.content_store import sha256_of
from tests.fakes.videos import read_numbers
from tests.labeling.sources.recordings import INGEST, record, ts
from tests.servers import Site, send_stream


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Python's default handler: a shell's background job ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_caller_that_stops_early_leaves_complete_files(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = send_stream(ts(0, 65))
    recording = record_camera(site.url("/cam"), tmp_path, INGEST.model_copy(update={"segment_s": 1.5}))
    first = next(recording)
    recording.close()  # type: ignore[attr-defined]  # it is a generator
    assert read_numbers(first.path) == list(range(20))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [first.path]


@pytest.mark.slow
def test_an_interrupted_recording_is_closed_and_given_to_the_caller(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = send_stream(ts(0, 100), seconds=6, pieces=80)
    program = textwrap.dedent(
        """
        import signal, sys
        from pathlib import Path
        from configs.models import Ingest
        from labeling.sources.cameras import record_camera
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        print("ready", flush=True)
        for recording in record_camera(sys.argv[1], Path(sys.argv[2]), Ingest()):
            print(recording.path, flush=True)
        """
    )
    home = tmp_path / "home"
    with subprocess.Popen(
        [sys.executable, "-c", program, site.url("/cam"), str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        while not list(home.rglob("1.mp4")):
            time.sleep(0.05)
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=20)
    assert b"KeyboardInterrupt" in stderr
    (kept,) = (path for path in home.rglob("*") if path.is_file())
    numbers = read_numbers(kept)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 1
    assert kept == home / sha256_of(kept)[:2] / f"{sha256_of(kept)}.mp4"
    assert stdout.decode().split() == [str(kept)]


@pytest.mark.parametrize("moment", ["while a camera is called", "in a pause"])
def test_ctrl_c_before_the_first_packet_ends_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    name = "streams.check_resolved" if moment == "while a camera is called" else "cameras.time.sleep"
    monkeypatch.setattr(f"labeling.sources.{name}", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    patient = INGEST.model_copy(update={"backoff_s": 30})
    try:
        with socket.create_server(("127.0.0.1", 0)) as closing:
            port = closing.getsockname()[1]
            closing.close()
            with pytest.raises(KeyboardInterrupt):
                record(f"tcp://127.0.0.1:{port}/live", tmp_path, patient)
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_has_its_effect_when_it_is_passed_on() -> None:
    interrupt, done = Interrupt(), []
    with interrupt.held():
        press_ctrl_c()
        done.append("the rest of the block")
    assert done
    assert interrupt.came
    with pytest.raises(KeyboardInterrupt):
        interrupt.pass_on()
    assert not interrupt.came


def test_ctrl_c_in_a_callback_of_c_is_not_lost() -> None:
    """Python prints an exception raised there and continues."""
    callback = ctypes.CFUNCTYPE(None)(press_ctrl_c)
    interrupt = Interrupt()
    with interrupt.held():
        callback()
    with pytest.raises(KeyboardInterrupt):
        interrupt.pass_on()


def test_a_second_ctrl_c_stops_at_once() -> None:
    interrupt = Interrupt()
    with interrupt.held():
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()


def test_what_was_not_pressed_is_not_passed_on() -> None:
    interrupt = Interrupt()
    with interrupt.held():
        pass
    interrupt.pass_on()
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()  # outside the block it has its usual effect


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt = Interrupt()
    with interrupt.held():
        press_ctrl_c()
    assert not interrupt.came


def test_another_thread_leaves_ctrl_c_as_it_is() -> None:
    def hold() -> object:
        with Interrupt().held():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(hold).result() is signal.default_int_handler
