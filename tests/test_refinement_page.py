"""The commands and the config of docs/refinement.md, on the rendered scene."""

import re
import shlex
import shutil
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "refinement.md").read_text("utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return str(found)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.usefixtures("prefect")
@pytest.mark.long
def test_the_commands_of_the_page_store_refined_masks(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for file in [*shared.glob("weights/*/*.onnx"), *shared.glob("weights/*/*.tflite")]:
        shutil.copy(file, cache)
    monkeypatch.setenv("MASKMILL_CACHE", str(cache))
    monkeypatch.delenv("MASKMILL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    render_scene(tmp_path / "office.mp4", seconds=4)
    (tmp_path / "office.yaml").write_text(block("yaml"))
    for line in block("sh").splitlines():
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.output)
    close_databases()
    with sqlite3.connect(tmp_path / ".maskmill" / "maskmill.db") as database:
        rows = database.execute("SELECT DISTINCT refined_by FROM instance WHERE role = 'teacher'").fetchall()
    found = {re.sub("@[0-9a-f]{8}", "@", name) for (name,) in rows if name}
    matting = "matting:background_matting_cpu.onnx@"
    assert {matting, f"{matting}, guided_filter:color"} <= found
