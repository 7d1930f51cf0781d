"""The registry of students: files and rows, promotion, refusal, rollback, and `registry:current` in a config."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.errors import ConfigError, StorageError
from configs.load import load_config
from configs.segmenters import CustomNetworkBlock
from db.students.registry import list_students
from flows.cli.main import app
from labeling.datasets.splits.assignment import Division
from labeling.datasets.versions.query import parse_query
from labeling.segmenters.factory import make_segmenter
from labeling.storage.home import Home
from labeling.structures.frames import Frame
from tasks.datasets.create import create_dataset
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import open_context
from tasks.report import write_report
from tasks.students import registry
from tasks.students.registry import register_student, with_registered_student
from tests.conftest import ROOT
from tests.tasks.students.planting import freeze, plant_version, with_person
from tests.tasks.students.students import register_red, trained_red

GOOD, WEAK, BLIND = 2.8, 1.0, 99.0
"""How red a pixel of a person must be: a person has 3.1."""


def states(home: Home) -> dict[str, str]:
    with open_context(home).database.session() as session:
        return {line.id: line.state for line in list_students(session)}


def student(home: Home, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["student", *words, "--home", str(home.root)])
    return done.exit_code, " ".join(done.output.split())


def test_the_same_student_again_changes_nothing(home: Home, tmp_path: Path) -> None:
    made = trained_red(tmp_path / "red", least=GOOD)
    for _ in range(2):
        register_student(open_context(home), made)
    assert states(home) == {made.sha256: "candidate"}
    assert {path.name for path in (home.students / made.sha256).iterdir()} == {
        "network.onnx",
        "network_int8.onnx",
        "weights.pt",
    }
    assert [path.name for path in home.students.iterdir()] == [made.sha256]


def test_stopped_between_copy_and_commit_it_leaves_no_student_and_the_next_call_finishes(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trained_red(tmp_path / "red", least=GOOD)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry, "record_student", stop)
        with pytest.raises(KeyboardInterrupt):
            register_student(open_context(home), made)
    assert states(home) == {}
    register_student(open_context(home), made)
    assert states(home) == {made.sha256: "candidate"}


KILLED = """
import os, signal, sys
from pathlib import Path
from labeling.storage.home import Home
from tasks.datasets.create import create_dataset
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import open_context
from tasks.students import registry
from tests.tasks.students.students import trained_red

folder, where = Path(sys.argv[1]), sys.argv[2]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if where == "copy":
    registry.shutil.copyfile = die
if where == "commit":
    registry.record_student = die
registry.register_student(open_context(Home(folder / "home")), trained_red(folder / "red", least=1.0))
"""


@pytest.mark.long
@pytest.mark.parametrize("where", ["copy", "commit"])
def test_killed_it_loses_nothing_and_doubles_nothing(home: Home, tmp_path: Path, where: str) -> None:
    def start(at: str) -> int:
        command = [sys.executable, "-c", KILLED, str(tmp_path), at]
        return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode

    assert start(where) == -signal.SIGKILL
    assert states(home) == {}
    assert start("nowhere") == 0
    assert list(states(home).values()) == ["candidate"]


def test_a_config_gets_the_concrete_network_and_another_student_is_another_run(
    home: Home, tmp_path: Path
) -> None:
    context = open_context(home)
    ids = [register_red(context, tmp_path / name, least=least) for name, least in (("a", GOOD), ("b", WEAK))]
    config = load_config("offline", ["student=registry:current"])
    with pytest.raises(ConfigError, match="no student was promoted yet"):
        with_registered_student(config, home)
    named = [
        with_registered_student(load_config("offline", [f"student=registry:{one[:8]}"]), home) for one in ids
    ]
    first = named[0].student
    assert isinstance(first, CustomNetworkBlock)
    assert (first.path, first.sha256) == (home.students / ids[0] / "network.onnx", ids[0])
    assert len({one.run_id() for one in (*named, config)}) == 3
    assert with_registered_student(named[0], home) is named[0]
    found = make_segmenter(first, weights_dir=None, device="cpu", batch=1).segment(
        [Frame("", None, with_person("v0", 0), index=0)]
    )
    assert 1200 < found[0][0].mask.area_px < 2200  # the person has 1800
    with pytest.raises(ConfigError, match="use it as `student` of a run"):
        make_segmenter(config.student, weights_dir=None, device="cpu", batch=1)
    (home.students / ids[0] / "network.onnx").unlink()
    with pytest.raises(StorageError, match=r"network\.onnx of student .* no longer exists"):
        with_registered_student(load_config("offline", [f"student=registry:{ids[0][:8]}"]), home)


@pytest.mark.slow
def test_a_better_student_is_promoted_a_worse_one_refused_and_a_promotion_taken_back(
    home: Home, tmp_path: Path
) -> None:
    plant_version(home)
    freeze(home, "f0", "f1", "f2")
    context = open_context(home)
    good = register_red(context, tmp_path / "good", least=GOOD)
    weak = register_red(context, tmp_path / "weak", least=WEAK)
    blind = register_red(context, tmp_path / "blind", least=BLIND)
    on = ("--on", "frozen")
    code, output = student(home, "promote", weak[:8], *on)
    assert code == 2
    assert "name the one that is in use now with --against" in output

    assert student(home, "promote", weak[:8], *on, "--against", blind[:8])[0] == 0
    code, output = student(home, "promote", good[:8], *on, "--random", blind[:8])
    assert (code, f"current student: {good[:12]}" in output) == (0, True), output
    assert states(home) == {good: "current", weak: "retired", blind: "candidate"}

    code, output = student(home, "promote", blind[:8], *on)
    assert code == 2
    assert f"student {blind[:12]} is not promoted: its mean IoU on frozen@1:val+test is 0.000" in output
    assert "cause miss: its IoU is" in output
    code, output = student(home, "promote", blind[:8], *on, "--force", "a demonstration")
    assert (code, "overruled: its mean IoU" in output) == (0, True)
    assert "because: a demonstration" in student(home, "show", "current")[1]

    code, output = student(home, "rounds", "--json")
    rounds = json.loads(output)
    assert [one["student_id"] for one in rounds] == [weak, good, blind]
    assert [one["iou_gain"]["mean"] > 0 for one in rounds] == [True, True, False]
    assert (rounds[0]["frames"], rounds[0]["machine_s"], rounds[0]["human_s"]) == (24, 0, None)
    assert "taken back" not in student(home, "rounds")[1]
    assert [one["random_iou_gain"].get("mean", 0) < 0 for one in rounds] == [False, True, False]
    status = CliRunner().invoke(app, ["status", "--home", str(home.root), "--json"])
    assert json.loads(status.output)["rounds"] == rounds
    write_report(context, None, tmp_path / "report.html", hardest=0)
    page = (tmp_path / "report.html").read_text()
    assert [page.count(f">{one[:12]}<") for one in (weak, good, blind)] == [1, 1, 1]

    assert good[:12] in student(home, "rollback", "--reason", "it sees nothing")[1]
    assert "taken back" in student(home, "rounds")[1]
    assert weak[:12] in student(home, "rollback")[1]
    code, output = student(home, "rollback")
    assert (code, "there is none to go back to" in output) == (2, True)
    assert states(home) == {good: "retired", weak: "current", blind: "retired"}


@pytest.mark.slow
def test_a_student_that_quantization_broke_is_refused(home: Home, tmp_path: Path) -> None:
    plant_version(home)
    freeze(home, "f0", "f1", "f2")
    context = open_context(home)
    blind = register_red(context, tmp_path / "blind", least=BLIND)
    broken = register_red(context, tmp_path / "broken", least=GOOD, int8_least=WEAK)
    code, output = student(home, "promote", broken[:8], "--on", "frozen", "--against", blind[:8])
    assert code == 2
    assert "its int8 file has a mean IoU of" in output
    assert "quantization broke it" in output
    whole = register_red(context, tmp_path / "whole", least=GOOD + 0.01)
    assert student(home, "promote", whole[:8], "--on", "frozen", "--against", blind[:8])[0] == 0


@pytest.mark.slow
def test_compare_prints_a_table_and_writes_the_same_figures_as_json(home: Home, tmp_path: Path) -> None:
    plant_version(home)
    all_test = DatasetOrder("other", parse_query((), ("accepted",), ()), Division((0, 0, 1)))
    create_dataset(open_context(home), all_test)
    freeze(home, "f0", "f1", "f2")
    context = open_context(home)
    good = register_red(context, tmp_path / "good", least=GOOD)
    weak = register_red(context, tmp_path / "weak", least=WEAK)
    out = tmp_path / "figures.json"
    code, output = student(home, "compare", good[:8], weak[:8], "--on", "frozen:test", "-o", str(out))
    assert code == 0
    assert "all frames 9 3" in output
    figures = json.loads(out.read_text())
    assert set(figures["groups"]) == {"all frames", "cause miss", "large person"}
    assert figures["groups"]["all frames"]["iou_difference"]["low"] > 0
    assert student(home, "compare", good[:8], f"{good[:8]}:int8", "--on", "night:val")[0] == 0
    code, output = student(home, "compare", good[:8], weak[:8], "--on", "other")
    assert "left out, of videos that a student was trained on: 9 frames" in output
    assert "all frames 15 5" in output
    for on, words in (("night:train", "students learn from train"), ("nothing", "no dataset 'nothing'")):
        code, output = student(home, "compare", good[:8], weak[:8], "--on", on)
        assert (code, words in output) == (2, True)
    assert "compared with itself" in student(home, "compare", good[:8], good[:10], "--on", "frozen")[1]
    assert "no student 'ffffff'" in student(home, "compare", good[:8], "ffffff", "--on", "frozen")[1]
