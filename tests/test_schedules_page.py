"""Every command of the page on schedules, in its order, with a server and workers that stay."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient

from labeling.synthetic.scene import render_scene
from tests.conftest import ROOT
from tests.prefect_server import run_prefect_server

PAGE = (ROOT / "docs" / "schedules.md").read_text("utf-8")
PATIENCE_S = 90
STAYS = {"serve": "being served", "worker": "started!"}
"""Commands that go on until Ctrl-C, and what they say once they are ready."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def commands() -> list[list[str]]:
    return [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.prefect
def test_the_commands_about_schedules_do_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "prefect").mkdir()
    render_scene(tmp_path / "videos" / "scene.mp4", seconds=4, size_hw=(180, 320))
    (tmp_path / "nightly.yaml").write_text(blocks("yaml")[0])
    documented = yaml.safe_load(blocks("yaml")[0])["schedules"]
    server, export, *ours = commands()
    assert server == ["prefect", "server", "start"]
    assert export == ["export", "PREFECT_API_URL=http://127.0.0.1:4200/api"]  # here, another port
    with run_prefect_server(tmp_path / "prefect") as environment:
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        for program, *words in ours:
            assert program == "maskmill"
            run(words, tmp_path, os.environ | environment)
        with SyncPrefectClient(environment["PREFECT_API_URL"]) as client:
            deployments = client.read_deployments()
    assert {deployment.name for deployment in deployments} == {"nightly"}
    assert all(deployment.work_pool_name == "night" for deployment in deployments)
    assert not any(deployment.paused for deployment in deployments)
    assert sum(len(deployment.schedules) for deployment in deployments) == len(documented)


def run(words: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a command to its end, which for some is Ctrl-C."""
    output = folder / f"{words[0]}.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli.main", *words],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        if words[0] in STAYS:
            end = time.monotonic() + PATIENCE_S
            while STAYS[words[0]] not in output.read_text("utf-8"):
                assert process.poll() is None, output.read_text("utf-8")
                assert time.monotonic() < end, output.read_text("utf-8")
                time.sleep(0.3)
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0, output.read_text("utf-8")
    finally:
        process.kill()
        process.wait()
