"""Reads what a dataset version takes: the frames of some runs, and the videos that they come from."""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.frames.dataset import FrameChoice, videos_of_run
from db.frames.listing import load_sources, source_of
from db.models.core import AgreementRow, DecisionRow, FrameRow, RunRow, VideoRow
from db.runs.queries import latest_run, run_models
from db.sql.reading import select_by_ids
from labeling.datasets.versions.content import VideoCredit
from labeling.datasets.versions.query import COMPARE, FrameQuery, NumberCondition

_COLUMNS: Mapping[str, InstrumentedAttribute[Any]] = {
    "trust": DecisionRow.trust,
    "expected_iou": DecisionRow.expected_iou,
    "sharpness": FrameRow.sharpness,
    "width": FrameRow.width,
    "height": FrameRow.height,
}
_OF_AGREEMENT: Mapping[str, InstrumentedAttribute[Any]] = {
    "iou": AgreementRow.iou,
    "boundary_iou": AgreementRow.boundary_iou,
}


def runs_of_query(session: Session, query: FrameQuery) -> list[RunRow]:
    """Return the runs in the order of the query, each once; ConfigError if there is no such run."""
    found = [latest_run(session, run_id) for run_id in query.runs or (None,)]
    return list({run.id: run for run in found}.values())


def choice_of(query: FrameQuery, credits: Iterable[VideoCredit]) -> FrameChoice:
    """Return the choice of frames of any run, `credits` being those of all its videos."""
    conditions = tuple(map(_condition, query.numbers))
    if not query.texts:
        return FrameChoice(query.decisions, conditions, only_complete=True)
    videos = {
        credit.video_id
        for credit in credits
        if all(one.holds(_text(credit, one.name)) for one in query.texts)
    }
    return FrameChoice(query.decisions, conditions, videos, only_complete=True)


def _condition(one: NumberCondition) -> ColumnElement[bool]:
    compare = COMPARE[one.sign]
    if one.name in _COLUMNS:
        return _as_condition(compare(_COLUMNS[one.name], one.value))
    agreement = select(_OF_AGREEMENT[one.name]).where(
        AgreementRow.run_id == DecisionRow.run_id, AgreementRow.frame_id == DecisionRow.frame_id
    )
    return _as_condition(compare(agreement.correlate(DecisionRow).scalar_subquery(), one.value))


def _as_condition(compared: Any) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = compared
    return condition


def _text(credit: VideoCredit, name: str) -> str | None:
    field = {"video": "video_id", "source": "spec"}.get(name, name)
    text: str | None = operator.attrgetter(field)(credit)
    return text or (credit.file_name if name == "title" else None)


def credits_of_runs(session: Session, runs: Sequence[RunRow]) -> dict[str, VideoCredit]:
    """Return the credit of each video of these runs, by video id."""
    video_ids = sorted({video_id for run in runs for video_id in videos_of_run(session, run.id)})
    load_sources(session, video_ids)
    videos = select_by_ids(session, select(VideoRow.id, VideoRow.path), VideoRow.id, video_ids)
    return {video_id: _credit(session, video_id, path) for video_id, path in videos}


def _credit(session: Session, video_id: str, path: str) -> VideoCredit:
    name, source = PurePosixPath(path).name, source_of(session, video_id)
    if source is None:
        return VideoCredit(video_id, name)
    about = (source.kind, source.spec, source.url, source.title, source.uploader, source.license)
    return VideoCredit(video_id, name, *about, source.upload_date)


def run_records(session: Session, runs: Iterable[RunRow]) -> Iterator[dict[str, Any]]:
    """Yield each run with its config and model cards, to be kept after the run is deleted."""
    for run in runs:
        models = {
            role: {
                "name": model.full_name,
                "weights_sha256": model.weights_sha256,
                "settings": model.settings,
            }
            for role, model in run_models(session, run).items()
        }
        yield {
            "id": run.id,
            "name": run.name,
            "config": run.config,
            "code_version": run.code_version,
            "models": models,
        }
