"""The commands of docs/matting.md, with a small network and a teacher that knows where the person is."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.execution.context import close_databases
from tests.conftest import ROOT
from tests.fakes.mattes import write_network, write_temporal_network, write_walk

PAGE = (ROOT / "docs" / "matting.md").read_text("utf-8")
CONFIG = """
teacher: {kind: python, factory: "tests.fakes.mattes:walker"}
student: {kind: python, factory: "tests.fakes.segmenters:scripted"}
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKMILL_HOME", str(tmp_path / "home"))
    (tmp_path / "walker.yaml").write_text(CONFIG)
    (tmp_path / "moving.yaml").write_text(f"{CONFIG}camera: moving\n")
    write_network(tmp_path / "tiny.onnx")
    write_temporal_network(tmp_path / "temporal.onnx")
    yield
    close_databases()


@pytest.mark.usefixtures("prefect")
def test_the_commands_of_the_page_write_what_its_table_lists(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for name in ("interview.mp4", "videos/office.mp4", "walk.mp4", "handheld.mp4"):
        write_walk(tmp_path / name, frames=6)
    write_walk(tmp_path / "talk.mp4", frames=24)
    Image.new("RGB", (64, 48), "brown").save(tmp_path / "office.jpg")
    commands = [
        shlex.split(line, comments=True)
        for line in "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.S)).splitlines()
    ]
    assert [command[0] for command in commands] == ["pip", *["maskmill"] * 5]
    for _, *arguments in commands[1:]:
        small = ["moving.yaml", "temporal.onnx"] if "moving" in arguments else ["walker.yaml", "tiny.onnx"]
        result = CliRunner().invoke(app, [*arguments, "--config", small[0], "--weights", small[1]])
        assert result.exit_code == 0, result.output
    listed = [
        name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.M) for name in re.findall(r"`(.*?)`", row)
    ]
    assert "matte.json" in listed
    folder = tmp_path / "mattes" / "walk"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert {name.replace("NAME", "walk") for name in listed} - there == {"walk.webm"}
    assert (tmp_path / "mattes" / "office" / "composite.mp4").is_file()
    assert (tmp_path / "mattes" / "interview" / "report.html").is_file()
    assert (tmp_path / "mattes" / "handheld" / "matte.json").is_file()
    assert len(list((tmp_path / "mattes" / "talk" / "alpha").iterdir())) == 4, "of 2.4 s, from 2 s on"
    assert not (tmp_path / "mattes" / "handheld" / "plate.png").exists()
