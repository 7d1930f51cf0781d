"""The command of docs/trajectories.md, on a rendered scene: files, database, a second call."""

import json
import re
import shlex
from pathlib import Path

import cv2
import pytest
import yaml
from typer.testing import CliRunner, Result

from flows.cli.main import app
from flows.cli.track import parse_size
from labeling.structures.frames import Clip
from labeling.structures.masks import Mask, iou_matrix
from labeling.video.decode import decode_clip
from tests.conftest import ROOT
from tests.labeling.tracking.crossing import COUNT, EVERY, write_scene

PAGE = (ROOT / "docs" / "trajectories.md").read_text("utf-8")
TEACHER = {"kind": "python", "factory": "tests.labeling.tracking.crossing:known_people"}


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return str(found)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.mark.slow
def test_wrong_options_are_refused_before_anything_starts(tmp_path: Path) -> None:
    write_scene(tmp_path)
    people, to = str(tmp_path / "people.txt"), str(tmp_path / "out")
    done = run("track", "v.mp4", "--trajectories", people, "--to", to, "--person", "5")
    assert done.exit_code == 2
    assert "no trajectory of person 5: the file has 1, 2" in " ".join(done.stderr.split())
    done = run("track", "v.mp4", "--trajectories", people, "--to", to, "--set", "teacher.anchr=top")
    assert done.exit_code == 2
    assert "anchr" in done.stderr
    assert parse_size("768x576") == (576, 768)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
@pytest.mark.requires("timm", module="timm")
@pytest.mark.long
def test_the_command_of_the_page_writes_masks_coco_video_and_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = write_scene(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKMILL_CACHE", str(tmp_path / "weights"))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(yaml.safe_load(block("yaml")) | {"teacher": TEACHER}))
    (line,) = block("sh").splitlines()
    quick = [f"teacher.{one}" for one in ("backbone=test_efficientnet", "samples=24", "batch=3", "epochs=10")]
    words = [*shlex.split(line)[1:], *(word for one in quick for word in ("--set", one)), "--json"]
    done = run(*words)
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert [one["person"] for one in summary["people"]] == [1, 2]
    assert all(one["after"] >= 0.8 and not one["error"] for one in summary["people"])

    tree = json.loads(Path("tracked/instances.json").read_bytes())
    frame_of = {image["id"]: image["frame_index"] for image in tree["images"]}
    assert sorted(frame_of.values()) == list(range(COUNT))
    ious = []
    for one in tree["annotations"]:
        number, person = frame_of[one["image_id"]], one["track_id"]
        mask, truth = Mask.from_coco(one["segmentation"]), Mask.from_array(masks[number][person])
        ious.append(float(iou_matrix([mask], [truth])[0, 0]))
        png = cv2.imread(f"tracked/person_{person}/{number:05d}.png", cv2.IMREAD_GRAYSCALE)
        assert png is not None
        assert Mask.from_array(png > 0) == mask
    assert sum(ious) / len(ious) > 0.6
    assert len(ious) >= 2 * (COUNT - EVERY)
    assert len(list(decode_clip(Clip("overlay", Path("tracked/overlay.mp4"))))) == COUNT
    assert json.loads(Path("tracked/summary.json").read_bytes()) == summary

    again = run(*words)
    assert json.loads(again.stdout) == summary
    assert json.loads(Path("tracked/instances.json").read_bytes()) == tree
