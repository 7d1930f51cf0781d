"""The command of docs/synthesis.md, and the errors of `maskmill synthesize`."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli.main import app
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "synthesis.md").read_text("utf-8")
SMALL = ("--set", "width=96", "--set", "height=64", "--set", "fps=6", "--json")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.mark.slow
def test_the_command_of_the_page_makes_clips_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = re.findall(r"```sh\n(.*)\n```", PAGE)
    words = [*shlex.split(line)[1:], *SMALL]
    done = run(*words)
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert (summary["clips"], summary["written"], summary["frames"]) == (2, 2, 12)
    assert Path(summary["coco"]).is_file()
    assert Path("clips/clips/00001/flow/00004.png").is_file()
    again = json.loads(run(*words).stdout)
    assert (again["clips"], again["written"], again["instances"]) == (2, 0, summary["instances"])


def test_wrong_settings_and_people_are_refused(tmp_path: Path) -> None:
    words = ("synthesize", "--people", "synthetic", "--to", str(tmp_path / "x"))
    done = run(*words, "--set", "amplitude=1")
    assert done.exit_code == 2
    assert "unknown key 'amplitude'; did you mean 'amplitudes'?" in " ".join(done.stderr.split())
    gone = run("synthesize", "--people", str(tmp_path / "gone"), "--to", str(tmp_path / "x"))
    assert gone.exit_code == 2
    assert "no person can be read" in " ".join(gone.stderr.split())
    assert not (tmp_path / "x").exists()
