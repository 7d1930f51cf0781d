"""Ctrl-C at any moment of a command: exit code 130, at most one line about it, no traceback."""

import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.videos import write_numbered_video

COMMANDS = {
    "help": ["--help"],
    "status": ["status", "--home", "home"],
    "run": ["run", "video.mp4", "--config", "offline", "--home", "home"],
    "demo": ["demo", "--home", "demo"],
    "matte": ["matte", "video.mp4", "--out", "out", "--config", "offline"],
}
MOMENTS = (0.1, 0.3, 0.6, 1.0, 2.0)
"""In CPU seconds of the command, so that a busy machine does not move them. Python itself starts in 0.03 s."""
SOME = {("help", 0.1), ("status", 0.3), ("run", 0.6), ("run", 1.0), ("demo", 1.0), ("matte", 1.0)}


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def interrupt(words: list[str], at_s: float, folder: Path) -> tuple[int, str, bool]:
    """Return the exit code as a shell shows it, stderr, and whether the command was still running."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(folder), "PREFECT_API_URL": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli.start", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - one thread
    )
    while process.poll() is None and cpu_s(process.pid) < at_s:
        pass
    is_running = process.poll() is None
    if is_running:
        os.killpg(process.pid, signal.SIGINT)
    stderr = process.communicate(timeout=30)[1]
    code = process.returncode
    return (128 - code if code < 0 else code), stderr, is_running


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads CPU times from /proc")
@pytest.mark.parametrize(
    ("name", "at_s"),
    [
        pytest.param(name, at_s, marks=[] if (name, at_s) in SOME else [pytest.mark.long])
        for name in COMMANDS
        for at_s in MOMENTS
    ],
)
def test_ctrl_c_ends_a_command_at_once_with_130_and_one_line(name: str, at_s: float, tmp_path: Path) -> None:
    write_numbered_video(tmp_path / "video.mp4", fps=Fraction(10), frames=20, size_hw=(96, 160))
    code, stderr, was_running = interrupt(COMMANDS[name], at_s, tmp_path)
    if was_running:
        assert code == 130, stderr
        assert "Traceback" not in stderr
        assert len([line for line in stderr.splitlines() if "stopped" in line]) <= 1
        assert "Error" not in stderr
    else:
        assert name in ("help", "status"), "the others take longer"
