"""The commands of docs/student.md, in order, on small videos."""

import re
import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from flows.cli.main import app
from labeling.video.encode import VideoWriter
from tasks.execution.context import close_databases
from tests.conftest import ROOT
from tests.tasks.students.planting import with_person
from tests.tasks.students.students import write_red

PAGE = (ROOT / "docs" / "student.md").read_text("utf-8")
QUICK = (
    "steps=60",
    "steps_per_epoch=20",
    "batch=4",
    "input_hw=[48,64]",
    "workers=0",
    "device=cpu",
    "threads=1",
)


def write_video(path: Path) -> None:
    """Write two seconds of a place of its own with a person in red, who stands still."""
    with VideoWriter(path, fps=Fraction(4), size_hw=(90, 120)) as writer:
        for _ in range(8):
            writer.write(np.ascontiguousarray(with_person(path.stem, 0)))


@pytest.mark.long
@pytest.mark.usefixtures("prefect")
@pytest.mark.requires("train", "lightning")
def test_the_commands_of_the_page_close_the_circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MASKMILL_HOME", "MASKMILL_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    Path("videos").mkdir()
    for name in (*(f"exam{number}" for number in range(3)), *(f"v{number}" for number in range(8))):
        write_video(Path("videos") / f"{name}.mp4")
    write_red(Path("blind.onnx"), least=99)
    student = {"kind": "onnx", "path": "blind.onnx", "input_hw": [48, 64], "output": "logits"}
    teacher = {
        "kind": "python",
        "factory": "tests.fakes.segmenters:scripted",
        "options": {"boxes": [[10, 10, 30, 60]]},
    }
    Path("mine.yaml").write_text(yaml.safe_dump({"teacher": teacher, "student": student, "tracking": None}))
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
    assert len(commands) == 10
    outputs = []
    for line in commands:
        words = shlex.split(line)[1:]
        if words[0] == "train":
            words += [word for change in QUICK for word in ("--set", change)]
        if words[:3] == ["dataset", "create", "night"]:
            words += ["--decision", "review", "--decision", "accepted"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (line, done.output)
        outputs.append(" ".join(done.stdout.split()))
    assert "current student:" in outputs[6]
    assert "(current)" in outputs[8]
    assert "promote" in outputs[8]
    close_databases()
