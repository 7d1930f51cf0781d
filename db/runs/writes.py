"""Writes of runs, sources and shards. Each write can be repeated: rows have unique keys and are upserted."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from more_itertools import batched
from sqlalchemy import delete, select, update
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
    PassedOverRow,
    RunRow,
    RunSourceRow,
    ShardRow,
    SourceRow,
    SourceVideoRow,
    TrackRow,
    VideoRow,
    content_id,
    frame_id,
    utc_now,
)
from db.runs.queries import FAILED_FRAME
from db.runs.tracks import lock_tracks, store_tracks
from db.sql.columns import box_columns, keypoints_column, mask_columns, mismatches_column, occupancy_column
from db.sql.reading import PAGE
from db.sql.upsert import upsert
from labeling.sources.passed_over import PassedOver
from labeling.sources.source import FailedSource, SourceItem
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.records import LabeledFrame, LabeledShard, ShardNote

_OK = {"state": "ok", "error_code": None, "error_message": None, "retryable": False}
"""State in a run of a source that gave videos."""


@dataclass(frozen=True, slots=True)
class ShardRange:
    """Start and end in ms, or indices of images; without an end: to the end of the video."""

    start_ms: int
    end_ms: int | None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a set."""

    position: int
    """Position in the set, from 0."""
    sha256: str
    path: str
    name: str
    """Original file name."""


def upsert_run(
    session: Session, run_id: str, *, name: str, config: Mapping[str, Any], code_version: str
) -> None:
    """Insert a run, or resume an earlier one with the same config."""
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
    update_columns = ["config", "code_version", "worked_at", *(["name"] if name else [])]
    upsert(session, RunRow, [row], update_columns=update_columns)


def record_models(session: Session, run_id: str, cards: Mapping[str, ModelCard]) -> None:
    """Store the models of a run, or check that a resumed run still has the same ones.

    Raises:
        ConfigError: the weights changed: masks of two models would mix in one run.
    """
    run = session.get_one(RunRow, run_id)
    for role, card in cards.items():
        known = run.models.get(role, model_id(card))
        if known != model_id(card):
            raise ConfigError(
                f"run {run_id} cannot be resumed with the {role} {card.kind}:{card.name}, because its weights changed: "
                f"give it another path, or its `sha256` or `version`, to start a new run"
            )
    run.models = {role: model_id(card) for role, card in cards.items()}
    _store_models(session, cards.values())


def finish_run(session: Session, run_id: str, counts: Mapping[str, int]) -> None:
    changes = {"finished_at": utc_now(), "counts": dict(counts)}
    session.execute(update(RunRow).where(RunRow.id == run_id).values(changes))


def record_source(session: Session, run_id: str, origin: SourceItem, *, video_ids: Iterable[str]) -> None:
    """Store a source that gave videos; it keeps the videos that it gave before."""
    details = {"kind": origin.kind, "url": origin.url, "upload_date": origin.upload_date}
    source_id = _upsert_source(session, origin, details, update_columns=list(details))
    given = [{"source_id": source_id, "video_id": video_id} for video_id in video_ids]
    upsert(session, SourceVideoRow, given)
    _set_state(session, run_id, source_id, _OK)


def record_failed_source(session: Session, run_id: str, failed: FailedSource) -> None:
    """Store a source that gave no video; its earlier videos and metadata are kept."""
    source_id = _upsert_source(session, failed, {"kind": "unknown"})
    error = failed.error
    failure = {"error_code": error.code, "error_message": str(error), "retryable": error.retryable}
    _set_state(session, run_id, source_id, {"state": "failed"} | failure)


def _upsert_source(
    session: Session,
    origin: SourceItem | FailedSource,
    details: Mapping[str, Any],
    *,
    update_columns: Sequence[str] = (),
) -> int:
    """Count the fetch; metadata from a list is kept until a later list overrides it."""
    source_id = content_id("source", origin.spec)
    attempts = session.scalar(select(SourceRow.attempts).where(SourceRow.id == source_id)) or 0
    metadata = {"title": origin.title, "uploader": origin.uploader, "license": origin.license}
    row = {"id": source_id, "spec": origin.spec, "attempts": attempts + 1} | dict(details) | metadata
    upsert(
        session, SourceRow, [row], update_columns=["attempts", *update_columns], fill_columns=list(metadata)
    )
    return source_id


def _set_state(session: Session, run_id: str, source_id: int, state: Mapping[str, Any]) -> None:
    row = {"run_id": run_id, "source_id": source_id} | dict(state)
    upsert(session, RunSourceRow, [row], update_columns=list(state))


def clear_failure(session: Session, run_id: str, specs: Collection[str]) -> None:
    """Clear the failure of folders, archives or lists whose entries are sources of their own now."""
    ids = [content_id("source", spec) for spec in specs]
    failed = (RunSourceRow.run_id == run_id, RunSourceRow.source_id.in_(ids), RunSourceRow.state == "failed")
    session.execute(update(RunSourceRow).where(*failed).values(_OK))


def given_as(specs: Iterable[str], videos: Iterable[str]) -> set[str]:
    """Return the values of `given` of what was passed over in these sources and videos."""
    return {*specs, *map(_of_video, videos)}


def _of_video(video_id: str) -> str:
    return f"video {video_id}"


def record_passed_over(session: Session, run_id: str, given: str, found: Iterable[PassedOver]) -> None:
    """Replace what was counted when this source was given before."""
    of_source = (PassedOverRow.run_id == run_id, PassedOverRow.given == given)
    session.execute(delete(PassedOverRow).where(*of_source))
    rows = [
        {"run_id": run_id, "given": given} | asdict(one) | {"examples": list(one.examples)} for one in found
    ]
    upsert(session, PassedOverRow, rows)


def record_notes(session: Session, shard: ShardRow, notes: Iterable[ShardNote]) -> None:
    """Store what a shard's images showed under the name of its video; the greatest number of its shards is kept."""
    of_video = SourceVideoRow.video_id == shard.video_id
    query = (
        select(SourceRow.spec).join(SourceVideoRow, SourceVideoRow.source_id == SourceRow.id).where(of_video)
    )
    spec = session.scalar(query.order_by(SourceRow.spec).limit(1)) or shard.video_id
    for note in notes:
        key = {
            "run_id": shard.run_id,
            "given": _of_video(shard.video_id),
            "spec": spec,
            "reason": note.reason,
        }
        known = session.get(PassedOverRow, tuple(key.values()))
        if known is None or known.count < note.count:
            row = key | {"count": note.count, "examples": list(note.examples)}
            upsert(session, PassedOverRow, [row], update_columns=["count", "examples"])


def record_video(session: Session, row: Mapping[str, Any]) -> None:
    """Store a video; the path of a known one is updated."""
    upsert(session, VideoRow, [row], update_columns=["path"])


def record_images(session: Session, video_id: str, images: Iterable[ImageRecord]) -> None:
    """Store the images of a set; the paths of known ones are updated."""
    rows = [{"video_id": video_id} | asdict(image) for image in images]
    upsert(session, ImageRow, rows, update_columns=["path"])


def plan_shards(session: Session, run_id: str, video_id: str, ranges: Sequence[ShardRange]) -> None:
    """Insert the shards of a video; known ones are unchanged."""
    rows: list[dict[str, Any]] = [
        {
            "id": content_id("shard", run_id, video_id, shard.start_ms),
            "run_id": run_id,
            "video_id": video_id,
            "start_ms": shard.start_ms,
            "end_ms": shard.end_ms,
            "state": "planned",
            "planned_at": utc_now(),
            "attempts_lost": 0,
            "counts": {},
            "seconds": {},
            "agreement_histogram": {},
        }
        for shard in ranges
    ]
    upsert(session, ShardRow, rows)


def copy_sources(session: Session, from_run: str, to_run: str) -> None:
    """Give a run the sources of another one, and its shards as planned ones; what it has already stays."""
    for table in (RunSourceRow, PassedOverRow):
        rows = session.scalars(select(table).where(table.run_id == from_run))
        names = [column.key for column in table.__table__.columns]
        upsert(
            session,
            table,
            [{name: getattr(row, name) for name in names} | {"run_id": to_run} for row in rows],
        )
    columns = (ShardRow.video_id, ShardRow.start_ms, ShardRow.end_ms)
    shards = session.execute(
        select(*columns).where(ShardRow.run_id == from_run).order_by(ShardRow.planned_at)
    )
    for video_id, start_ms, end_ms in shards.tuples().all():
        plan_shards(session, to_run, video_id, [ShardRange(start_ms, end_ms)])


def fail_shard(session: Session, shard_id: int, error: MaskmillError) -> None:
    changes = {"state": "failed", "error_code": error.code, "error_message": str(error), "leased_by": None}
    session.execute(update(ShardRow).where(ShardRow.id == shard_id, ShardRow.state != "done").values(changes))


def requeue_failed(session: Session, run_id: str, video_ids: Sequence[str], *, every: bool) -> None:
    """Plan failed shards of a run again: those of these videos, or all (`every`).

    `every` also plans the shards in which single frames failed; the rows of their other frames stay as they are.
    """
    failed = update(ShardRow).where(ShardRow.run_id == run_id, ShardRow.state == "failed")
    planned = {"state": "planned", "error_code": None, "error_message": None, "attempts_lost": 0}
    if every:
        session.execute(failed.values(planned))
        _requeue_failed_frames(session, run_id, planned)
        return
    for page in batched(video_ids, PAGE):
        session.execute(failed.where(ShardRow.video_id.in_(page)).values(planned))


def _requeue_failed_frames(session: Session, run_id: str, planned: Mapping[str, object]) -> None:
    """Plan shards again that are done but for frames that a model's wrong output made unusable."""
    has_failed = ShardRow.counts[f"rejected:{FAILED_FRAME}"].as_integer() > 0
    of_run = (ShardRow.run_id == run_id, ShardRow.state == "done", has_failed)
    if not (shards := list(session.scalars(select(ShardRow.id).where(*of_run)))):
        return
    # a frame that now has people may change the numbers of the shard's tracks
    for page in batched(shards, PAGE):
        session.execute(delete(TrackRow).where(TrackRow.shard_id.in_(page)))
        session.execute(update(ShardRow).where(ShardRow.id.in_(page)).values(planned))
    is_failed = (DecisionRow.run_id == run_id, DecisionRow.rule == FAILED_FRAME)
    session.execute(delete(DecisionRow).where(*is_failed))


def model_id(card: ModelCard) -> str:
    return f"{content_id('model', card.kind, card.name, card.weights_sha256, card.settings):016x}"


def store_shard(session: Session, shard: ShardRow, labeled: LabeledShard) -> bool:
    """Write all rows of a shard and its `done` mark in the transaction of the caller.

    Returns False, and writes nothing, if another worker has stored the shard.
    """
    lock_tracks(session, shard.video_id)
    done = update(ShardRow).where(ShardRow.id == shard.id, ShardRow.state != "done")
    changes = {
        "state": "done",
        "leased_by": None,
        "error_code": None,
        "error_message": None,
        "counts": labeled.counts,
        "seconds": labeled.seconds,
        "agreement_histogram": agreement_histogram(
            frame.agreement for frame in labeled.frames if frame.agreement
        ),
        "finished_at": utc_now(),
    }
    if not session.execute(done.values(changes)).rowcount:  # type: ignore[attr-defined]  # of CursorResult
        return False
    _store_frames(session, shard, labeled.frames)
    record_notes(session, shard, labeled.notes)
    _store_models(session, labeled.cards.values())
    model_ids = {role: model_id(card) for role, card in labeled.cards.items()}
    compared = [(frame_id(shard.video_id, frame.key), frame) for frame in labeled.frames if frame.agreement]
    track_ids = store_tracks(session, shard, labeled.tracks)
    instances = _instance_rows(shard.run_id, compared, model_ids, track_ids)
    grids = occupancy_column(_sizes_of_hard(compared), instances)
    upsert(session, InstanceRow, instances, update_columns=["track_id"])  # known ones: of a shard done again
    upsert(session, AgreementRow, [_agreement_row(shard.run_id, fid, frame) for fid, frame in compared])
    upsert(session, DecisionRow, [_decision_row(shard, frame, grids) for frame in labeled.frames])
    return True


def _store_frames(session: Session, shard: ShardRow, frames: Sequence[LabeledFrame]) -> None:
    """Upsert frames: a size is missing until a run decodes the frame to RGB."""
    rows = [
        {
            "id": frame_id(shard.video_id, frame.key),
            "video_id": shard.video_id,
            "pts_ms": frame.pts_ms,
            "image_index": frame.index,
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
    run_id: str,
    frames: Iterable[tuple[int, LabeledFrame]],
    model_ids: Mapping[str, str],
    track_ids: Mapping[int, int],
) -> list[dict[str, Any]]:
    predicted = [
        (fid, role, rank, instance)
        for fid, frame in frames
        for role, instances in (("teacher", frame.teacher), ("student", frame.student))
        for rank, instance in enumerate(instances)
    ]
    measured = mask_columns([instance.mask for *_, instance in predicted])
    return [
        {
            "id": content_id("instance", run_id, fid, role, rank),
            "run_id": run_id,
            "frame_id": fid,
            "model_id": model_ids[role],
            "role": role,
            "rank": rank,
            **box_columns("detector_box", instance.box_xywh),
            "score": instance.score,
            "trust": instance.trust,
            "refined_by": instance.refined_by,
            "iou_before": instance.iou_before,
            "track_id": _track_id(role, instance, track_ids),
            "category": instance.category,
            "decision": instance.decision,
            "keypoints": keypoints_column(instance.keypoints),
            **mask,
        }
        for (fid, role, rank, instance), mask in zip(predicted, measured, strict=True)
    ]


def _track_id(role: str, instance: Instance, track_ids: Mapping[int, int]) -> int | None:
    """Return the number in the video of a teacher's track; others keep theirs."""
    number = instance.track_id
    return number if number is None or role != "teacher" else track_ids.get(number, number)


def _sizes_of_hard(frames: Iterable[tuple[int, LabeledFrame]]) -> dict[int, tuple[int, int]]:
    """Return (width, height) of the hard frames."""
    hard = ((fid, frame.size_hw) for fid, frame in frames if frame.priority is not None)
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
        "mismatches": mismatches_column(agreement),
        "category_ious": [list(one) for one in agreement.category_ious] or None,
    }


def _decision_row(shard: ShardRow, frame: LabeledFrame, grids: Mapping[int, bytes]) -> dict[str, Any]:
    fid = frame_id(shard.video_id, frame.key)
    return {
        "run_id": shard.run_id,
        "frame_id": fid,
        "decision": frame.decision,
        "rule": frame.rule,
        "expected_iou": frame.agreement.expected_iou if frame.agreement else None,
        "trust": frame.trust,
        "priority": frame.priority,
        "reasons": [reason.to_json() for reason in frame.reasons],
        "shot_start_ms": frame.shot_start_ms,
        "image": frame.image,
        "occupancy": grids.get(fid),
        "found": frame.found,
        "accepted_people": frame.accepted_people,
        "doubtful_people": frame.doubtful_people,
    }
