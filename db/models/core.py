"""The ledger's tables. Ids that leave the database are derived from content, so that a run which was
killed and taken up again, or spread over workers, gives the same rows as an undisturbed one.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID_BITS = 53
"""Ids fit a double: pycocotools and JavaScript keep them in one. Two of a million frames share an
id with probability 6e-5 (birthday bound n^2 / 2^54); the primary key would refuse the second."""


def content_id(*parts: object) -> int:
    """A positive 53-bit id that depends on `parts` alone."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> (64 - ID_BITS)


def frame_id(video_id: str, t_ms: int) -> int:
    return content_id("frame", video_id, t_ms)


def utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON(none_as_null=True)}  # noqa: RUF012  # SQLAlchemy's own form


class RunRow(Base):
    """One config. Its sources accumulate; the same config again is the same run."""

    __tablename__ = "run"

    id: Mapped[str] = mapped_column(primary_key=True, comment="16 hex digits of the config's SHA-256")
    name: Mapped[str] = mapped_column(comment="preset or file that the config came from")
    config: Mapped[dict[str, Any]] = mapped_column(comment="the whole config, defaults filled in")
    code_version: Mapped[str] = mapped_column(comment="maskmill's version when the run was last worked on")
    started_at: Mapped[datetime] = mapped_column(comment="UTC, first time")
    worked_at: Mapped[datetime] = mapped_column(comment="UTC, last time")
    finished_at: Mapped[datetime | None] = mapped_column(comment="UTC, last time nothing was left to do")
    models: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="model id by role")
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="frames by decision, at the finish")


class VideoRow(Base):
    """One file, known by its bytes; or a set of images, known by theirs."""

    __tablename__ = "video"
    __table_args__ = (CheckConstraint("kind IN ('video', 'images')", name="kind"),)

    id: Mapped[str] = mapped_column(primary_key=True, comment="SHA-256 of the bytes, 64 hex digits")
    kind: Mapped[str] = mapped_column(comment="video, or images without time")
    path: Mapped[str] = mapped_column(comment="absolute, or relative to the home when below it")
    duration_ms: Mapped[int | None] = mapped_column(comment="null for images")
    width: Mapped[int | None] = mapped_column(comment="px, upright; null for images, which differ")
    height: Mapped[int | None] = mapped_column(comment="px, upright")
    fps: Mapped[str | None] = mapped_column(comment="average frames per second as a fraction, 30000/1001")
    codec: Mapped[str | None] = mapped_column(comment="FFmpeg's name")


class ImageRow(Base):
    """One image of a set; its position is its frame's `t_ms`."""

    __tablename__ = "image"

    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, comment="from 0, by name, fixed for good")
    sha256: Mapped[str] = mapped_column(unique=True, comment="of the file's bytes: never in two sets")
    path: Mapped[str] = mapped_column(comment="where the file was seen last")
    name: Mapped[str] = mapped_column(comment="what it is called where it came from")


class SourceRow(Base):
    """Where videos come from, and what is said about it: by a list, or by the page itself."""

    __tablename__ = "source"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="from the spec")
    spec: Mapped[str] = mapped_column(unique=True, comment="path, archive!member or URL, no credentials")
    kind: Mapped[str] = mapped_column(comment="file, image_folder, archive_member, url, camera, unknown")
    attempts: Mapped[int] = mapped_column(default=0, comment="times it was fetched")
    url: Mapped[str | None] = mapped_column(comment="page or file, without credentials")
    title: Mapped[str | None] = mapped_column()
    uploader: Mapped[str | None] = mapped_column()
    license: Mapped[str | None] = mapped_column(comment="as the origin states it; null: not stated")
    upload_date: Mapped[str | None] = mapped_column(comment="ISO 8601 day")


class SourceVideoRow(Base):
    """Which videos a source gave so far: a folder of images that grew gave several sets."""

    __tablename__ = "source_video"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"), primary_key=True, index=True)


class RunSourceRow(Base):
    """Which sources a run was asked for, and what became of each in it."""

    __tablename__ = "run_source"
    __table_args__ = (CheckConstraint("state IN ('ok', 'failed')", name="state"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    state: Mapped[str] = mapped_column(comment="ok or failed, the last time")
    error_code: Mapped[str | None] = mapped_column(comment="word of labeling.errors")
    error_message: Mapped[str | None] = mapped_column(comment="what happened and what to do")
    retryable: Mapped[bool] = mapped_column(default=False, comment="may the same call succeed later")


class Execution(Base):
    """A flow that is at work: who holds shards. The row goes with its end."""

    __tablename__ = "execution"

    id: Mapped[str] = mapped_column(primary_key=True, comment="Prefect's id of the flow run")
    flow: Mapped[str] = mapped_column(comment="what it does")
    place: Mapped[str] = mapped_column(comment="host and process")
    process: Mapped[str | None] = mapped_column(
        comment="machine, pid and start time of the process; null: unknown"
    )
    began_at: Mapped[datetime] = mapped_column(comment="UTC, the database's clock")
    seen_at: Mapped[datetime] = mapped_column(comment="UTC, last sign of life, the database's clock")


class ShardRow(Base):
    """A range of one video in one run: the unit of work, of retry and of commit."""

    __tablename__ = "shard"
    __table_args__ = (
        UniqueConstraint("run_id", "video_id", "start_ms"),
        CheckConstraint("state IN ('planned', 'done', 'failed')", name="state"),
        Index("ix_shard_run_id_state", "run_id", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="from run, video, start")
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"), index=True)
    start_ms: Mapped[int] = mapped_column(comment="first moment, or first position of a set of images")
    end_ms: Mapped[int | None] = mapped_column(comment="first moment after; null: to the end")
    state: Mapped[str] = mapped_column(default="planned")
    error_code: Mapped[str | None] = mapped_column()
    error_message: Mapped[str | None] = mapped_column()
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="frames per stage")
    seconds: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="wall seconds per stage")
    planned_at: Mapped[datetime] = mapped_column(comment="UTC; first come, first served")
    claimed_by: Mapped[str | None] = mapped_column(
        ForeignKey("execution.id"), index=True, comment="who works on it; null: nobody"
    )
    deaths: Mapped[int] = mapped_column(default=0, comment="times that whoever worked on it died")
    agreement_histogram: Mapped[dict[str, Any]] = mapped_column(
        default=dict,
        comment="its frames by agreement and by cause: see db.frames.histograms; empty: not done",
    )
    finished_at: Mapped[datetime | None] = mapped_column(comment="UTC")


class FrameRow(Base):
    """One image that was looked at, by whatever run."""

    __tablename__ = "frame"
    __table_args__ = (UniqueConstraint("video_id", "t_ms"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="from video and t_ms")
    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"))
    t_ms: Mapped[int] = mapped_column(comment="presentation time; position for images")
    width: Mapped[int | None] = mapped_column(comment="px; null if the image was never made")
    height: Mapped[int | None] = mapped_column(comment="px")
    sharpness: Mapped[float] = mapped_column(comment="variance of the Laplacian at 640 px width")
    name: Mapped[str] = mapped_column(default="", comment="file name, for images of a folder")


class ModelRow(Base):
    """A segmenter with its weights and settings."""

    __tablename__ = "model"

    id: Mapped[str] = mapped_column(primary_key=True, comment="16 hex digits over the other columns")
    kind: Mapped[str] = mapped_column()
    name: Mapped[str] = mapped_column()
    weights_sha256: Mapped[str] = mapped_column(comment="empty: no weights")
    settings: Mapped[str] = mapped_column(comment="canonical JSON of what changes its output")
    gives_instances: Mapped[bool | None] = mapped_column(
        comment="false: one mask for everybody; null: stored before this was known"
    )


class InstanceRow(Base):
    """One person as one model saw it in one run."""

    __tablename__ = "instance"
    __table_args__ = (
        UniqueConstraint("run_id", "frame_id", "role", "rank"),
        CheckConstraint("role IN ('teacher', 'student')", name="role"),
        Index("ix_instance_frame_id", "frame_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="run, frame, role, rank")
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"))
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"))
    role: Mapped[str] = mapped_column(comment="teacher or student")
    rank: Mapped[int] = mapped_column(comment="the model's own order, from 0")
    rle: Mapped[bytes] = mapped_column(comment="counts of COCO's compressed RLE, size is the frame's")
    x: Mapped[float] = mapped_column(comment="detector's box, px")
    y: Mapped[float] = mapped_column()
    w: Mapped[float] = mapped_column()
    h: Mapped[float] = mapped_column()
    area_px: Mapped[int] = mapped_column(comment="pixels of the mask")
    mask_box_x: Mapped[float] = mapped_column(server_default="0", comment="tight box of the mask, whole px")
    mask_box_y: Mapped[float] = mapped_column(server_default="0")
    mask_box_w: Mapped[float] = mapped_column(server_default="0")
    mask_box_h: Mapped[float] = mapped_column(server_default="0")
    score: Mapped[float] = mapped_column(comment="0 to 1")
    keypoints: Mapped[list[Any] | None] = mapped_column(comment="17 x [x px, y px, confidence]")
    trust: Mapped[float | None] = mapped_column(
        comment="probability that a teacher's mask is right; null: no calibration"
    )


class AgreementRow(Base):
    """How teacher and student matched on one frame of one run."""

    __tablename__ = "agreement"
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    iou: Mapped[float] = mapped_column(comment="of the unions, 0 to 1")
    boundary_iou: Mapped[float] = mapped_column(comment="of the unions' contour bands")
    both_empty: Mapped[bool] = mapped_column(comment="nobody seen by either: IoU is 1 by definition")
    is_hard: Mapped[bool] = mapped_column()
    matches: Mapped[list[Any]] = mapped_column(comment="[teacher rank, student rank, IoU]")
    mismatches: Mapped[list[Any]] = mapped_column(comment="[cause, teacher ranks, student ranks, IoU]")


class DecisionRow(Base):
    """What became of a frame in one run."""

    __tablename__ = "decision"
    __table_args__ = (
        CheckConstraint("decision IN ('rejected', 'easy', 'accepted', 'review')", name="decision"),
        Index("ix_decision_run_id_decision_expected_iou", "run_id", "decision", "expected_iou", "frame_id"),
    )

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    decision: Mapped[str] = mapped_column()
    rule: Mapped[str | None] = mapped_column(comment="which filter said no, for rejected")
    expected_iou: Mapped[float | None] = mapped_column(
        comment="the agreement's, by which lists are ordered: see labeling.comparison.agreement; null: none"
    )
    trust: Mapped[float | None] = mapped_column(
        comment="probability that the teacher's masks are right; null: nobody seen, or no calibration"
    )
    value: Mapped[float | None] = mapped_column(
        comment="what a person's look is worth, 0 to 1: see labeling.review.queue; null: not hard"
    )
    reasons: Mapped[list[Any]] = mapped_column(comment="in words")
    shot_start_ms: Mapped[int] = mapped_column(
        comment="time of the cut that began its shot, as this run cuts"
    )
    image: Mapped[str | None] = mapped_column(
        comment="file below the home in this run's quality, named by its SHA-256; null: rejected"
    )
    occupancy: Mapped[bytes | None] = mapped_column(
        comment="where people are, 16 x 16 float16: see labeling.review.occupancy; null: not hard"
    )
