"""`maskmill review listen` beside a real Label Studio."""

import os
import signal
import subprocess
import sys
import time

import httpx
import pytest
from prefect.settings import PREFECT_API_URL

from tests.flows.test_review import Desk, desk
from tests.planted_reviews import person_frames, plant_run

__all__ = ["desk"]

pytestmark = [pytest.mark.labelstudio, pytest.mark.usefixtures("prefect")]


def start_listening(desk: Desk) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "flows.cli.main", "review", "listen", "--home", str(desk.home.root)]
    environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONUNBUFFERED": "1"}
    options = ["--port", "0", "--every-s", "600"]
    return subprocess.Popen([*command, *options], env=environment, stdout=subprocess.PIPE, text=True)


def wait_for_line(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stdout
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"ended without {text!r}")


@pytest.mark.timeout(180)
def test_a_submitted_annotation_is_pulled_at_once_and_other_callers_are_refused(desk: Desk) -> None:
    [frame] = plant_run(desk.home, person_frames(1)).frames
    desk.push()
    process = start_listening(desk)
    try:
        address = wait_for_line(process, "listening on").split()[-1]
        wait_for_line(process, "new annotations: 0 frames")
        assert httpx.post(address, json={}).status_code == 403
        assert httpx.post(address, headers={"X-Maskmill-Secret": "guessed"}).status_code == 403
        begin = time.monotonic()
        desk.submit(frame, desk.regions(frame))
        wait_for_line(process, "new annotations: 1 frame")
        assert time.monotonic() - begin < 30
        assert desk.states() == {frame: "reviewed"}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert desk.http.get("/api/webhooks/", params={"project": desk.number}).json() == []
    finally:
        process.kill()
        process.communicate()
