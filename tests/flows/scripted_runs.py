"""Runs of scripted segmenters over a planted video, shared by several test files."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from configs.load import validate_config
from configs.models import RunConfig
from db.models.core import AgreementRow, DecisionRow, FrameRow
from db.runs.queries import RunSummary
from flows.generate import generate_dataset
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of
from tasks.observability.final_state import NoSourceReadable
from tests.fakes.videos import write_numbered_video

WHOLE = [40, 40, 40, 80]
HALF = [40, 40, 40, 40]
LESS = [40, 40, 40, 39]


def scripted_config(teacher: dict[str, Any], student: dict[str, Any], **more: Any) -> RunConfig:
    def block(name: str, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "kind": "python",
            "factory": "tests.fakes.segmenters:scripted",
            "options": {"name": name} | options,
        }

    tree = {"teacher": block("teacher", teacher), "student": block("student", student)}
    return validate_config(tree | more, "test")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "planted.mp4"
    write_numbered_video(path, fps=Fraction(10), frames=30, size_hw=(160, 240))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def closed_databases() -> Any:
    yield
    close_databases()


def run(sources: list[Path], config: RunConfig, home: Path) -> RunSummary:
    return generate_dataset([str(source) for source in sources], config, name="test", home=home)


def failing_run(sources: list[Path], config: RunConfig, home: Path) -> RunSummary:
    with pytest.raises(NoSourceReadable) as caught:
        run(sources, config, home)
    return caught.value.summary


def rows_by_ms(home: Path) -> dict[int, tuple[float, float | None, str]]:
    with database_of(Home(home.resolve())).session() as session:
        query = (
            select(FrameRow.pts_ms, AgreementRow.iou, AgreementRow.boundary_iou, DecisionRow.decision)
            .join(DecisionRow, DecisionRow.frame_id == FrameRow.id)
            .outerjoin(AgreementRow, AgreementRow.frame_id == FrameRow.id)
            .order_by(FrameRow.pts_ms)
        )
        return {
            pts_ms: (iou, boundary, decision) for pts_ms, iou, boundary, decision in session.execute(query)
        }
