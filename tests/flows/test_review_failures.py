"""A push that is killed, or whose Label Studio fails midway, neither loses nor duplicates a frame."""

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from threading import Thread

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL

from db.models.review import ReviewRow
from labeling.review.label_studio.credentials import URL_VARIABLE
from labeling.structures.masks import Mask
from tasks.execution.context import database_of
from tests.flows.test_review import Desk, desk
from tests.planted_reviews import PlantedFrame, box_mask, person_frames, plant_run
from tests.studio_server import gate_before
from tests.tasks.review.test_plant import write_truth

__all__ = ["desk"]

pytestmark = [pytest.mark.labelstudio, pytest.mark.usefixtures("prefect")]

KILLS = int(os.environ.get("MASKMILL_TEST_KILLS", "4"))


def frames_in_studio(desk: Desk) -> Counter[int]:
    return Counter(int(task["data"]["frame_id"]) for task in desk.tasks())


def start_push(desk: Desk, *changes: str) -> "subprocess.Popen[bytes]":
    settings = [f"review.project={desk.settings.project}", "review.request_grace_s=2", *changes]
    command = [
        sys.executable,
        "-m",
        "flows.cli.main",
        "review",
        "push",
        "--home",
        str(desk.home.root),
        "--json",
    ]
    command += [word for change in settings for word in ("--set", change)]
    environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_push_killed_at_random_and_repeated_sends_every_frame_once(desk: Desk) -> None:
    """Those with a known answer, a tenth of the tasks, too."""
    run = plant_run(desk.home, person_frames(40 * KILLS))
    known = run.frames[::10]
    truth = write_truth(desk.home.root / "truth.json", dict.fromkeys(known, (box_mask(10, 10, 30, 80),)))
    planted = [
        f"review.planted.truth={truth.truth}",
        "review.planted.share=0.05",
        "review.max_open_tasks=100000",
    ]
    random_moments = random.Random(3)  # noqa: S311  # moments, not secrets
    for _ in range(KILLS):
        process = start_push(desk, "review.batch=3", *planted)
        wait_for_first_batch(desk, process)
        time.sleep(random_moments.uniform(0.0, 1.0))
        assert process.poll() is None  # else nothing was interrupted
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start_push(desk, *planted).wait(300) == 0
    sent = frames_in_studio(desk)
    ordinary = set(run.frames) - set(known)
    assert set(sent.values()) == {1}
    assert ordinary < sent.keys()
    assert len(sent.keys() - ordinary) == math.ceil(len(ordinary) * 0.05 / 0.95)
    assert {state for key, state in desk.states().items() if key in sent} == {"open"}


def wait_for_first_batch(desk: Desk, process: "subprocess.Popen[bytes]") -> None:
    """Wait until this push sends its first batch: an earlier kill would test nothing."""
    sent = newest_sending(desk)
    while newest_sending(desk) == sent and process.poll() is None:
        time.sleep(0.02)


def newest_sending(desk: Desk) -> object:
    from sqlalchemy import func, select

    with database_of(desk.home).session() as session:
        return session.scalar(select(func.max(ReviewRow.sent_at)))


def test_an_import_with_a_lost_response_is_not_repeated(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run = plant_run(desk.home, person_frames(4))
    desk.push(max_open_tasks=1)
    with gate_before(desk.studio.access.url) as gate:
        gate.let_through, gate.hang_up_after = 1, ["POST"]  # the images; then the tasks
        monkeypatch.setenv(URL_VARIABLE, gate.url)
        # the same server under another URL counts as another one: its project is found there
        pushed = desk.push()
    assert not gate.hang_up_after
    posted = [seen for seen in gate.seen if seen.startswith("POST") and seen.endswith("/import")]
    assert posted == [f"POST /api/projects/{desk.number}/import"] * 2
    assert frames_in_studio(desk) == Counter(run.frames)
    assert pushed.sent == 3


def test_a_label_studio_that_restarts_midway_gets_all_frames(desk: Desk) -> None:
    run = plant_run(desk.home, person_frames(60))
    local = desk.studio.local
    port = int(desk.studio.access.url.rpartition(":")[2])

    def restart() -> None:
        wait_for_frames(desk)
        local.down()
        local.up(port)

    restarting = Thread(target=restart)
    restarting.start()
    pushed = desk.push(batch=2)
    restarting.join()
    assert frames_in_studio(desk) == Counter(run.frames)
    assert pushed.sent == len(run.frames)


def wait_for_frames(desk: Desk) -> None:
    while newest_sending(desk) is None:
        time.sleep(0.05)


def test_a_frame_that_is_too_large_is_reported_and_the_others_are_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = Mask.from_array(np.random.default_rng(1).random((120, 160)) < 0.5)
    run = plant_run(desk.home, [PlantedFrame([noise, noise, noise]), *person_frames(3)])
    with gate_before(desk.studio.access.url) as gate:
        gate.largest_body = 100_000
        monkeypatch.setenv(URL_VARIABLE, gate.url)
        pushed = desk.push()
    assert pushed.sent == 3
    [refused] = pushed.refused
    assert f"frame {run.frames[0]}" in refused
    assert "too large" in refused
    assert frames_in_studio(desk) == Counter(run.frames[1:])
