"""Runs of scripted segmenters over a planted video, which several files of tests share."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from configs.load import validate_config
from configs.models import RunConfig
from db.models.core import Agreement, Decision, Frame
from db.runs.queries import RunSummary
from flows.generate import generate_dataset
from labeling.storage.home import Home
from tasks.execution.database import close_ledgers, ledger_of
from tasks.observability.final_state import NothingRead
from tests.planted import write_planted_video

WHOLE = [40, 40, 40, 80]
HALF = [40, 40, 40, 40]
LESS = [40, 40, 40, 39]


def scripted_config(teacher: dict[str, Any], student: dict[str, Any], **more: Any) -> RunConfig:
    def block(name: str, options: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "python", "factory": "tests.scripted:scripted", "options": {"name": name} | options}

    tree = {"teacher": block("teacher", teacher), "student": block("student", student)}
    return validate_config(tree | more, "test")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "planted.mp4"
    write_planted_video(path, fps=Fraction(10), frames=30, size_hw=(160, 240))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def closed_ledgers() -> Any:
    yield
    close_ledgers()


def run(sources: list[Path], config: RunConfig, home: Path) -> RunSummary:
    return generate_dataset([str(source) for source in sources], config, name="test", home=home)


def run_in_vain(sources: list[Path], config: RunConfig, home: Path) -> RunSummary:
    with pytest.raises(NothingRead) as caught:
        run(sources, config, home)
    return caught.value.summary


def rows_by_ms(home: Path) -> dict[int, tuple[float, float | None, str]]:
    with ledger_of(Home(home.resolve())).session() as session:
        query = (
            select(Frame.t_ms, Agreement.iou, Agreement.boundary_iou, Decision.decision)
            .join(Decision, Decision.frame_id == Frame.id)
            .outerjoin(Agreement, Agreement.frame_id == Frame.id)
            .order_by(Frame.t_ms)
        )
        return {t_ms: (iou, boundary, decision) for t_ms, iou, boundary, decision in session.execute(query)}
