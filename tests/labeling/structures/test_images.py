"""Which image files are opened, and by whom."""

import os
from pathlib import Path

import pytest
from PIL import Image

from configs.errors import ConfigError
from configs.ground_truth import LabeledSet
from labeling.datasets.readers.coco import upright_size
from labeling.evaluation.ground_truth import read_labeled
from tests.conftest import ROOT

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n"


def test_one_place_opens_images() -> None:
    rooms = ("configs", "db", "flows", "labeling", "maskmill", "tasks")
    files = (file for room in rooms for file in (ROOT / room).rglob("*.py"))
    assert [str(file.relative_to(ROOT)) for file in files if "Image.open(" in file.read_text()] == [
        "labeling/structures/images.py"
    ]


@pytest.mark.parametrize("encoding", ["instances", "cdnet"])
def test_an_eps_file_called_png_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # not looked for yet
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "images" / "in0001.png")
    for name in ("in0001.png", "gt0001.png"):
        (tmp_path / "masks" / name).write_bytes(EPS)
    labeled = LabeledSet.model_validate(
        {"images": tmp_path / "images", "masks": tmp_path / "masks", "mask_encoding": encoding}
    )
    with pytest.raises(ConfigError, match=r"\.png: not a readable image"):
        read_labeled(labeled)
    assert upright_size(tmp_path / "masks" / "gt0001.png") is None
    assert not (tmp_path / "started").exists()
