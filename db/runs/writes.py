"""Everything that is written to the ledger. Each write can be repeated: unique keys and upserts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from configs.errors import ConfigError, MaskmillError
from db.frames.histograms import agreement_histogram
from db.models.core import (
    AgreementRow,
    DecisionRow,
    FrameRow,
    ImageRow,
    InstanceRow,
    ModelRow,
    RunRow,
    RunSourceRow,
    ShardRow,
    SourceRow,
    SourceVideoRow,
    VideoRow,
    content_id,
    frame_id,
    utc_now,
)
from db.sql.mask_columns import mask_columns
from db.sql.occupancy_column import occupancy_column
from db.sql.paging import pages
from db.sql.upsert import upsert
from labeling.sources.source import FailedSource, SourceItem
from labeling.structures.instances import ModelCard
from labeling.structures.records import LabeledFrame, LabeledShard

_WORKED = {"state": "ok", "error_code": None, "error_message": None, "retryable": False}
"""Of a source in a run that has its videos."""


@dataclass(frozen=True, slots=True)
class ShardRange:
    """Start and end in ms (or positions of images); no end: to the end of the video."""

    start_ms: int
    end_ms: int | None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a set: its place there, its bytes' SHA-256, its file and what it is called."""

    position: int
    sha256: str
    path: str
    name: str


def upsert_run(
    session: Session, run_id: str, *, name: str, config: Mapping[str, Any], code_version: str
) -> None:
    """Enter a run, or take up an earlier one with the same config."""
    row = {
        "id": run_id,
        "name": name or "custom",
        "config": dict(config),
        "code_version": code_version,
        "started_at": utc_now(),
        "worked_at": utc_now(),
        "finished_at": None,
        "counts": {},
        "models": {},
    }
    changed = ["config", "code_version", "worked_at", *(["name"] if name else [])]
    upsert(session, RunRow, [row], update_columns=changed)


def record_models(session: Session, run_id: str, cards: Mapping[str, ModelCard]) -> None:
    """Remember the models that a run began with, or make sure that they are still the same.

    Raises:
        ConfigError: a model's file was replaced: its masks would mix with those of the old one.
    """
    run = session.get_one(RunRow, run_id)
    for role, card in cards.items():
        known = run.models.get(role, model_id(card))
        if known != model_id(card):
            raise ConfigError(
                f"the {role} {card.kind}:{card.name} is not the one that run {run_id} began with: its "
                f"weights changed. Give it another path, or its `sha256` or `version`, for a new run"
            )
    run.models = {role: model_id(card) for role, card in cards.items()}
    _store_models(session, cards.values())


def finish_run(session: Session, run_id: str, counts: Mapping[str, int]) -> None:
    changes = {"finished_at": utc_now(), "counts": dict(counts)}
    session.execute(update(RunRow).where(RunRow.id == run_id).values(changes))


def record_source(session: Session, run_id: str, origin: SourceItem, *, video_ids: Iterable[str]) -> None:
    """A source that gave videos; it stays credited with those that it gave earlier."""
    place = {"kind": origin.kind, "url": origin.url, "upload_date": origin.upload_date}
    source_id = _upsert_source(session, origin, place, update_columns=list(place))
    given = [{"source_id": source_id, "video_id": video_id} for video_id in video_ids]
    upsert(session, SourceVideoRow, given)
    _set_state(session, run_id, source_id, _WORKED)


def record_failed_source(session: Session, run_id: str, failed: FailedSource) -> None:
    """A source that gave none this time; what it gave earlier and what is known of it stays known."""
    source_id = _upsert_source(session, failed, {"kind": "unknown"})
    error = failed.error
    failure = {"error_code": error.code, "error_message": str(error), "retryable": error.retryable}
    _set_state(session, run_id, source_id, {"state": "failed"} | failure)


def _upsert_source(
    session: Session,
    origin: SourceItem | FailedSource,
    place: Mapping[str, Any],
    *,
    update_columns: Sequence[str] = (),
) -> int:
    """What a list once said about a source holds until somebody says otherwise."""
    source_id = content_id("source", origin.spec)
    attempts = session.scalar(select(SourceRow.attempts).where(SourceRow.id == source_id)) or 0
    said = {"title": origin.title, "uploader": origin.uploader, "license": origin.license}
    row = {"id": source_id, "spec": origin.spec, "attempts": attempts + 1} | dict(place) | said
    upsert(session, SourceRow, [row], update_columns=["attempts", *update_columns], fill_columns=list(said))
    return source_id


def _set_state(session: Session, run_id: str, source_id: int, state: Mapping[str, Any]) -> None:
    row = {"run_id": run_id, "source_id": source_id} | dict(state)
    upsert(session, RunSourceRow, [row], update_columns=list(state))


def clear_failure(session: Session, run_id: str, specs: Collection[str]) -> None:
    """A folder, archive or list that failed and now gave sources with names of their own."""
    ids = [content_id("source", spec) for spec in specs]
    failed = (RunSourceRow.run_id == run_id, RunSourceRow.source_id.in_(ids), RunSourceRow.state == "failed")
    session.execute(update(RunSourceRow).where(*failed).values(_WORKED))


def record_video(session: Session, row: Mapping[str, Any]) -> None:
    """A video; seen again elsewhere, it is remembered where it was seen last."""
    upsert(session, VideoRow, [row], update_columns=["path"])


def record_images(session: Session, video_id: str, images: Iterable[ImageRecord]) -> None:
    """Images of a set; one seen again is remembered where it was seen last."""
    rows = [{"video_id": video_id} | asdict(image) for image in images]
    upsert(session, ImageRow, rows, update_columns=["path"])


def plan_shards(session: Session, run_id: str, video_id: str, ranges: Sequence[ShardRange]) -> None:
    """Enter a video's shards; the ones that are known stay as they are."""
    rows: list[dict[str, Any]] = [
        {
            "id": content_id("shard", run_id, video_id, span.start_ms),
            "run_id": run_id,
            "video_id": video_id,
            "start_ms": span.start_ms,
            "end_ms": span.end_ms,
            "state": "planned",
            "planned_at": utc_now(),
            "deaths": 0,
            "counts": {},
            "seconds": {},
            "agreement_histogram": {},
        }
        for span in ranges
    ]
    upsert(session, ShardRow, rows)


def fail_shard(session: Session, shard_id: int, error: MaskmillError) -> None:
    changes = {"state": "failed", "error_code": error.code, "error_message": str(error), "claimed_by": None}
    session.execute(update(ShardRow).where(ShardRow.id == shard_id, ShardRow.state != "done").values(changes))


def requeue_failed(session: Session, run_id: str, video_ids: Sequence[str], *, every: bool) -> None:
    """Let shards of a run that failed be tried again: those of these videos, or all."""
    failed = update(ShardRow).where(ShardRow.run_id == run_id, ShardRow.state == "failed")
    again = {"state": "planned", "error_code": None, "error_message": None, "deaths": 0}
    if every:
        session.execute(failed.values(again))
        return
    for some in pages(video_ids):
        session.execute(failed.where(ShardRow.video_id.in_(some)).values(again))


def model_id(card: ModelCard) -> str:
    return f"{content_id('model', card.kind, card.name, card.weights_sha256, card.settings):016x}"


def store_shard(session: Session, shard: ShardRow, labeled: LabeledShard) -> bool:
    """Write all rows of a shard and its `done` mark; False if another worker was quicker.

    The caller's transaction makes rows and mark one.
    """
    done = update(ShardRow).where(ShardRow.id == shard.id, ShardRow.state != "done")
    changes = {
        "state": "done",
        "claimed_by": None,
        "error_code": None,
        "error_message": None,
        "counts": labeled.counts,
        "seconds": labeled.seconds,
        "agreement_histogram": agreement_histogram(f.agreement for f in labeled.frames if f.agreement),
        "finished_at": utc_now(),
    }
    if not session.execute(done.values(changes)).rowcount:  # type: ignore[attr-defined]  # of CursorResult
        return False
    _store_frames(session, shard, labeled.frames)
    _store_models(session, labeled.cards.values())
    ids = {role: model_id(card) for role, card in labeled.cards.items()}
    compared = [(frame_id(shard.video_id, f.t_ms), f) for f in labeled.frames if f.agreement]
    people = _instance_rows(shard.run_id, compared, ids)
    grids = occupancy_column(_sizes_of_hard(compared), people)
    upsert(session, InstanceRow, people)
    upsert(session, AgreementRow, [_agreement_row(shard.run_id, fid, f) for fid, f in compared])
    upsert(session, DecisionRow, [_decision_row(shard, frame, grids) for frame in labeled.frames])
    return True


def _store_frames(session: Session, shard: ShardRow, frames: Sequence[LabeledFrame]) -> None:
    """Frames are shared by runs: one that was rejected unseen may be kept by another run."""
    rows = [
        {
            "id": frame_id(shard.video_id, frame.t_ms),
            "video_id": shard.video_id,
            "t_ms": frame.t_ms,
            "width": frame.size_hw[1] if frame.size_hw else None,
            "height": frame.size_hw[0] if frame.size_hw else None,
            "sharpness": frame.sharpness,
            "name": frame.name,
        }
        for frame in frames
    ]
    upsert(session, FrameRow, rows, fill_columns=["width", "height"])


def _store_models(session: Session, cards: Iterable[ModelCard]) -> None:
    rows = [
        {
            "id": model_id(card),
            "kind": card.kind,
            "name": card.name,
            "weights_sha256": card.weights_sha256,
            "settings": card.settings,
            "gives_instances": card.gives_instances,
        }
        for card in cards
    ]
    upsert(session, ModelRow, rows, update_columns=["gives_instances"])


def _instance_rows(
    run_id: str, frames: Iterable[tuple[int, LabeledFrame]], model_ids: Mapping[str, str]
) -> list[dict[str, Any]]:
    seen = [
        (fid, role, rank, instance)
        for fid, frame in frames
        for role, instances in (("teacher", frame.teacher), ("student", frame.student))
        for rank, instance in enumerate(instances)
    ]
    measured = mask_columns([instance.mask for *_, instance in seen])
    return [
        {
            "id": content_id("instance", run_id, fid, role, rank),
            "run_id": run_id,
            "frame_id": fid,
            "model_id": model_ids[role],
            "role": role,
            "rank": rank,
            **dict(zip("xywh", instance.box_xywh, strict=True)),
            "score": instance.score,
            "trust": instance.trust,
            "keypoints": [list(point) for point in instance.keypoints] if instance.keypoints else None,
            **mask,
        }
        for (fid, role, rank, instance), mask in zip(seen, measured, strict=True)
    ]


def _sizes_of_hard(frames: Iterable[tuple[int, LabeledFrame]]) -> dict[int, tuple[int, int]]:
    """Width and height."""
    hard = ((fid, frame.size_hw) for fid, frame in frames if frame.value is not None)
    return {fid: (size_hw[1], size_hw[0]) for fid, size_hw in hard if size_hw}


def _agreement_row(run_id: str, fid: int, frame: LabeledFrame) -> dict[str, Any]:
    agreement = frame.agreement
    if agreement is None:
        raise TypeError("a frame without agreement has no row")
    return {
        "run_id": run_id,
        "frame_id": fid,
        "iou": agreement.iou,
        "boundary_iou": agreement.boundary_iou,
        "both_empty": agreement.both_empty,
        "is_hard": agreement.is_hard,
        "matches": [list(match) for match in agreement.matches],
        "mismatches": [[m.cause, list(m.teacher), list(m.student), m.iou] for m in agreement.mismatches],
    }


def _decision_row(shard: ShardRow, frame: LabeledFrame, grids: Mapping[int, bytes]) -> dict[str, Any]:
    fid = frame_id(shard.video_id, frame.t_ms)
    return {
        "run_id": shard.run_id,
        "frame_id": fid,
        "decision": frame.decision,
        "rule": frame.rule,
        "expected_iou": frame.agreement.expected_iou if frame.agreement else None,
        "trust": frame.trust,
        "value": frame.value,
        "reasons": list(frame.reasons),
        "shot_start_ms": frame.shot_start_ms,
        "image": frame.image,
        "occupancy": grids.get(fid),
    }
