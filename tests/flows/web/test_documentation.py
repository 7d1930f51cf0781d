"""The commands of docs/web.md."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import typer

from flows.cli.main import app
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "web.md").read_text("utf-8")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("maskmill")])
def test_the_commands_of_the_page_are_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    group = typer.main.get_command(app)
    context = group.make_context("maskmill", list(words))
    name, command, arguments = group.resolve_command(context, words)  # type: ignore[attr-defined]
    assert name == "web"
    command.make_context(name, arguments, parent=context)


def test_the_request_of_the_page_makes_a_job(idle: httpx.Client, video: bytes, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "clip.mp4").write_bytes(video)
    (line,) = [line for line in LINES if line.startswith("curl")]
    command = line.replace("http://127.0.0.1:8420", str(idle.base_url).rstrip("/"))
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)
    (job,) = idle.get("/api/jobs").json()["jobs"]
    assert job["background"]["value"] == "#ffffff"
    assert job["videos"][0]["name"] == "clip.mp4"


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    from flows.web.uploads import UploadLimits

    limits = UploadLimits()
    assert (
        f"{limits.file_bytes // 10**9} GB, a job {limits.job_bytes // 10**9} GB and {limits.files} files"
        in PAGE
    )
    assert f"{limits.archive_ratio:g} times" in PAGE
