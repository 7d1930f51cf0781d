"""The commands of docs/training.md, and the errors of `maskmill train`."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from configs.load import load_training
from flows.cli.main import app
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "training.md").read_text("utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return str(found)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_the_settings_of_the_page_are_read(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text(block("yaml"))
    settings = load_training(file)
    assert (settings.size, settings.precision, settings.adversarial.epochs) == ("cpu", "bf16", 15)


def test_wrong_settings_are_refused_before_anything_starts() -> None:
    done = run("train", "matting", "synthetic", "--to", "x", "--set", "step=4")
    assert done.exit_code == 2
    assert "unknown key 'step'; did you mean 'steps'?" in " ".join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
@pytest.mark.requires("train", module="lightning")
def test_the_command_of_the_page_trains_and_its_folder_is_not_used_for_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = block("sh").splitlines()
    words = [*shlex.split(line)[1:], "--set", "steps=4", "--set", "steps_per_epoch=2", "--set", "workers=0"]
    done = run(*words, "--set", "device=cpu", "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert Path(summary["network"]).is_file()
    assert Path(summary["network"]).parent == tmp_path / "try"
    assert len(Path("try/metrics.csv").read_text().splitlines()) == 1 + 4

    again = run(*words, "gone", "--set", "device=cpu", "--json")
    assert again.exit_code == 2
    assert 'datasets was ["synthetic"], is ["synthetic", "gone"]' in " ".join(again.stderr.split())
