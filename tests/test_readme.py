"""Every command of the README, in its order, on real networks."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image
from typer.testing import CliRunner

from flows.cli import app
from labeling.scene import render_scene
from labeling.studio.environment import environment_folder
from labeling.studio.local import LocalStudio
from tasks.ledger import close_ledgers
from tests.conftest import ROOT
from tests.labeling.segmenters.tiny_networks import save_onnx

README = re.sub(
    r"(?s)\n## On schedules and many machines\n.*?(?=\n## |\Z)", "", (ROOT / "README.md").read_text("utf-8")
)
"""Without what needs a server that stays: tests/test_readme_schedules.py."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


def test_the_readme_has_no_command_that_no_test_runs() -> None:
    programs = {" ".join(command[:2]) for command in commands() if command[0] != "maskmill"}
    assert programs == {"make demo", "make test", "pip install"}


def test_make_demo_ends_with_a_summary_a_dataset_and_a_report(tmp_path: Path) -> None:
    if not (ROOT / ".venv" / ".core").exists():
        pytest.skip("not set up by make: `make demo` would install a second environment here")
    command = ["make", "demo", f"DEMO={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "frames looked at in 1 video" in done.stdout
    assert (tmp_path / "coco" / "annotations" / "instances.json").stat().st_size > 1000
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.shared
@pytest.mark.labelstudio
@pytest.mark.usefixtures("prefect")
def test_the_commands_of_the_readme_do_what_it_says(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for file in [*shared.glob("weights/*/*.onnx"), *shared.glob("weights/*/*.tflite")]:
        shutil.copy(file, cache)
    studio = environment_folder()
    monkeypatch.setenv("MASKMILL_CACHE", str(cache))
    if studio.is_dir():  # or it would be installed once more
        environment_folder().symlink_to(studio)
    monkeypatch.delenv("MASKMILL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    render_scene(tmp_path / "videos" / "scene.mp4", seconds=4)
    brightest = helper.make_node("ReduceMax", ["picture"], ["map"], axes=[1], keepdims=1)
    save_onnx(
        tmp_path / "deployed_int8.onnx",
        [brightest],
        input_shape=[1, 3, 256, 256],
        outputs=[("map", TensorProto.FLOAT)],
    )
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0])
    (tmp_path / "sets.yaml").write_text(blocks("yaml")[1])
    write_labelled_sets(tmp_path)
    request.addfinalizer(LocalStudio(tmp_path / ".maskmill").down)
    frame = ""
    for command in commands():
        if command[0] != "maskmill":
            continue
        arguments = [frame if word == "FRAME" else word for word in command[1:]]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (arguments, result.output)
        if not frame and arguments[0] == "frames":
            frame = first_compared_frame()
    assert (tmp_path / "dataset" / "annotations" / "instances.json").is_file()
    assert (tmp_path / "reviewed" / "annotations" / "instances.json").is_file()
    assert (tmp_path / "report.html").is_file()
    assert set(json.loads((tmp_path / "figures.json").read_text())["sets"]) == {"streets", "office", "all"}
    assert "beside ground truth" in (tmp_path / "evaluation.html").read_text()
    close_ledgers()


def write_labelled_sets(folder: Path) -> None:
    """The README's two: one picture each."""
    grey, somebody = np.full((60, 80, 3), 128, np.uint8), np.zeros((60, 80), np.uint8)
    somebody[10:50, 30:50] = 255
    for path in ("streets/images/1.jpg", "office/input/in000001.jpg"):
        (folder / path).parent.mkdir(parents=True)
        Image.fromarray(grey).save(folder / path)
    (folder / "office" / "groundtruth").mkdir()
    Image.fromarray(somebody).save(folder / "office" / "groundtruth" / "gt000001.png")
    image = {"id": 1, "file_name": "1.jpg", "height": 60, "width": 80}
    person = {"image_id": 1, "category_id": 1, "segmentation": [[30, 10, 50, 10, 50, 50, 30, 50]]}
    tree = {"images": [image], "annotations": [person]}
    (folder / "streets" / "instances.json").write_text(json.dumps(tree))


def first_compared_frame() -> str:
    rows = json.loads(CliRunner().invoke(app, ["frames", "--limit", "1", "--json"]).stdout)
    return str(rows[0]["id"])
