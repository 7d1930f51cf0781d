"""The commands and the config of docs/pose-masks.md."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.errors import ConfigError
from configs.load import load_config, load_pose_mask_training
from configs.refinement import DenseCrfBlock
from configs.segmenters import LiteBlock, PoseGuidedBlock
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "pose-masks.md").read_text("utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return str(found)


def test_the_config_of_the_page_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rescue.yaml"
    file.write_text(block("yaml"))
    teacher = load_config(str(file)).teacher
    assert isinstance(teacher, PoseGuidedBlock)
    assert (teacher.base, teacher.refine) == (LiteBlock(), (DenseCrfBlock(),))
    verifier = load_config("lite", ["trust.verifier=pose_guided"]).trust.verifier
    assert verifier == PoseGuidedBlock()


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown key 'step'; did you mean 'steps'"):
        load_pose_mask_training(None, ["step=4"])


@pytest.mark.long
@pytest.mark.usefixtures("prefect")
@pytest.mark.requires("train", module="lightning")
def test_the_command_of_the_page_trains_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.cli.main import app

    monkeypatch.chdir(tmp_path)
    (line,) = block("sh").splitlines()
    words = [*shlex.split(line)[1:], "--set", "steps=2", "--set", "steps_per_epoch=2", "--set", "batch=2"]
    done = CliRunner().invoke(app, [*words, "--set", "workers=0", "--set", "device=cpu", "--json"])
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert Path(summary["network"]) == tmp_path / "try" / "network.onnx"
    assert Path(summary["network"]).stat().st_size < 100_000
    assert len((tmp_path / "try" / "metrics.csv").read_text().splitlines()) == 1 + 2
