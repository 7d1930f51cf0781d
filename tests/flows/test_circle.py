"""The flow `run-circle`: one round from videos to a student that waits for its approval, each step done once."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.circle import Circle
from configs.models import RunConfig
from configs.student_training import StudentTraining
from db.datasets.queries import list_versions
from db.students.registry import list_students
from flows.circle import run_circle
from flows.cli.main import app
from labeling.storage.home import Home
from tasks.execution.context import close_databases, open_context
from tests.tasks.students.students import write_red
from tests.test_student_page import write_video

QUICK = StudentTraining(
    steps=20, steps_per_epoch=20, batch=4, input_hw=(48, 64), workers=0, device="cpu", threads=1
)


@pytest.mark.long
@pytest.mark.usefixtures("prefect")
@pytest.mark.requires("train", "lightning")
def test_a_round_makes_a_version_and_a_student_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASKMILL_DATABASE_URL", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    videos, root = tmp_path / "videos", tmp_path / "home"
    videos.mkdir()
    for name in ("exam1", "v1", "v2", "v3"):
        write_video(videos / f"{name}.mp4")
    write_red(tmp_path / "blind.onnx", least=99)
    config = RunConfig.model_validate(
        {
            "teacher": {
                "kind": "python",
                "factory": "tests.fakes.segmenters:scripted",
                "options": {"boxes": [[10, 10, 30, 60]]},
            },
            "student": {
                "kind": "onnx",
                "path": str(tmp_path / "blind.onnx"),
                "input_hw": [48, 64],
                "output": "logits",
            },
            "tracking": None,
        }
    )
    circle = Circle(
        dataset="night",
        frozen="exam",
        decisions=("accepted", "review"),
        split="100/0/0",
        training=QUICK,
    )
    first = run_circle([str(videos)], config, circle, "mine", root)
    assert run_circle([str(videos)], config, circle, "mine", root) == first
    with open_context(Home(root)).database.session() as session:
        assert [one.full_name for one in list_versions(session)] == ["night@1"]
        assert [(one.id, one.dataset, one.state) for one in list_students(session)] == [
            (first, "night@1", "candidate")
        ]
    write_video(videos / "v4.mp4")
    second = run_circle([str(videos)], config, circle, "mine", root)
    assert second != first
    listed = CliRunner().invoke(app, ["student", "list", "--home", str(root)]).stdout
    assert "night@2" in listed
    close_databases()
