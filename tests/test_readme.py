"""Every command of the README and of the guides, in order, on real networks."""

import json
import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from flows.cli.main import app
from labeling.review.label_studio.install import environment_folder
from labeling.review.label_studio.local_server import LocalLabelStudio
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases
from tests.conftest import ROOT
from tests.labeling.segmenters.tiny_networks import save_onnx
from tests.requirements import skip_or_fail

PAGES = ("README.md", "docs/configuration.md", "docs/review.md", "docs/trust.md")
"""Pages whose commands run here; those of the others run in tests/test_*_page.py."""
MANUAL = "".join((ROOT / page).read_text("utf-8") for page in PAGES)
STREETS = (790, 30752, 100667, 113488, 174632, 211891, 234748, 256353, 322517, 442450, 463557, 535506)
OFFICE = range(590, 633)
DANCE = (0, 30, 60)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", MANUAL, re.S)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


def test_the_pages_have_no_command_that_no_test_runs() -> None:
    tested = {
        *PAGES,
        *(
            f"docs/{name}.md"
            for name in (
                *("audit", "datasets", "operations", "schedules", "evaluate", "matting", "pose-masks"),
                *("refinement", "student", "synthesis"),
                *("training", "trajectories", "web"),
            )
        ),
    }
    others = [page for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in tested]
    assert not [page for page in others if "```" in page.read_text("utf-8")]
    programs = {" ".join(command[:2]) for command in commands() if command[0] != "maskmill"}
    assert programs == {"make demo", "make test", "pip install"}


@pytest.mark.slow
def test_make_demo_ends_with_a_summary_a_dataset_and_a_report(tmp_path: Path) -> None:
    if not (ROOT / ".venv" / ".core").exists():
        skip_or_fail("make", "`make demo` would install a second environment here")
    command = ["make", "demo", f"DEMO={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "frames sampled from 1 video" in done.stdout
    assert (tmp_path / "coco" / "annotations" / "instances.json").stat().st_size > 1000
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.shared
@pytest.mark.labelstudio
@pytest.mark.usefixtures("prefect")
def test_the_commands_of_the_pages_do_what_they_say(
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
    render_scene(tmp_path / "videos" / "scene.mp4", seconds=3, size_hw=(240, 320))
    brightest = helper.make_node("ReduceMax", ["image"], ["map"], axes=[1], keepdims=1)
    save_onnx(
        tmp_path / "deployed_int8.onnx",
        [brightest],
        input_shape=[1, 3, 256, 256],
        outputs=[("map", TensorProto.FLOAT)],
    )
    for name in ("mine.yaml", "sets.yaml"):  # the pages name a file in its first line
        (text,) = (block for block in blocks("yaml") if block.startswith(f"# {name}"))
        (tmp_path / name).write_text(text)
    copy_labeled_sets(shared / "data", tmp_path)
    request.addfinalizer(LocalLabelStudio(tmp_path / ".maskmill").down)
    frame = ""
    for command in commands():
        if command[0] != "maskmill":
            continue
        arguments = [frame if word == "FRAME" else word for word in command[1:]]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (arguments, result.output)
        if not frame and arguments[0] == "frames":
            frame = first_compared_frame()
    (tmp_path / "example.py").write_text(blocks("python")[0])
    runpy.run_path(str(tmp_path / "example.py"))
    assert (tmp_path / "dataset" / "annotations" / "instances.json").is_file()
    assert (tmp_path / "reviewed" / "annotations" / "instances.json").is_file()
    assert (tmp_path / "report.html").is_file()
    assert set(json.loads((tmp_path / "figures.json").read_text())["sets"]) == {
        "streets",
        "office",
        "dance",
        "all",
    }
    assert json.loads((tmp_path / "mine.json").read_text())["fitted_on"] == {
        "streets": len(STREETS),
        "office": len(OFFICE[::7]),
        "dance": len(DANCE),
    }
    assert "IoU with ground truth" in (tmp_path / "evaluation.html").read_text()
    close_databases()


def copy_labeled_sets(data: Path, folder: Path) -> None:
    """The README's three, of a few real images each: some that the teacher gets right, some that it does not."""
    coco, names = data / "coco_mini", {f"{number:012}.jpg" for number in STREETS}
    tree = json.loads((coco / "annotations" / "instances_train2017.json").read_text())
    tree["images"] = [image for image in tree["images"] if image["file_name"] in names]
    assert len(tree["images"]) == len(STREETS)
    kept = {image["id"] for image in tree["images"]}
    tree["annotations"] = [one for one in tree["annotations"] if one["image_id"] in kept]
    for name in names:
        copy(coco / "train2017" / name, folder / "streets" / "images" / name)
    (folder / "streets" / "instances.json").write_text(json.dumps(tree))
    for number in OFFICE:
        copy(data / f"cdnet_office/input/in{number:06}.jpg", folder / f"office/input/in{number:06}.jpg")
        truth = f"groundtruth/gt{number:06}.png"
        copy(data / "cdnet_office" / truth, folder / "office" / truth)
    for number in DANCE:
        for kind, to, suffix in (("JPEGImages", "frames", "jpg"), ("Annotations", "masks", "png")):
            name = f"{number:05}.{suffix}"
            copy(data / "davis2016" / kind / "dance-twirl" / name, folder / "dance" / to / name)


def copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, to)


def first_compared_frame() -> str:
    rows = json.loads(CliRunner().invoke(app, ["frames", "--limit", "1", "--json"]).stdout)
    return str(rows[0]["id"])
