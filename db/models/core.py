"""Tables of runs, sources, frames and predictions.

Ids that leave the database are derived from content: a run that was killed and resumed, or spread over
workers, writes the same rows as an undisturbed one.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, MetaData, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from configs.categories import PERSON

ID_BITS = 53
"""Ids fit a double, which is what pycocotools and JavaScript store them in. Two of a million frames get the
same id with probability 6e-5 (birthday bound n^2 / 2^54); the primary key would refuse the second one."""


def content_id(*parts: object) -> int:
    """Return a positive 53-bit id that depends only on `parts`."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> (64 - ID_BITS)


def frame_id(video_id: str, key: int) -> int:
    """Return the id of the frame with this `labeling.structures.frames.frame_key`."""
    return content_id("frame", video_id, key)


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
    type_annotation_map = {int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON(none_as_null=True)}  # noqa: RUF012  # the form that SQLAlchemy expects


class RunRow(Base):
    """One config. The same config again is the same run, and its sources accumulate."""

    __tablename__ = "run"

    id: Mapped[str] = mapped_column(primary_key=True, comment="16 hex digits of the config's SHA-256")
    name: Mapped[str] = mapped_column(comment="preset or file of the config")
    config: Mapped[dict[str, Any]] = mapped_column(comment="the complete config, defaults filled in")
    code_version: Mapped[str] = mapped_column(comment="last maskmill version used")
    started_at: Mapped[datetime] = mapped_column(comment="UTC, first time")
    worked_at: Mapped[datetime] = mapped_column(comment="UTC, last time")
    finished_at: Mapped[datetime | None] = mapped_column(comment="UTC, last time all shards were done")
    models: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="model id by role")
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="frames by decision at the end")


class VideoRow(Base):
    """One video file, or one set of images, identified by its bytes."""

    __tablename__ = "video"
    __table_args__ = (CheckConstraint("kind IN ('video', 'images')", name="kind"),)

    id: Mapped[str] = mapped_column(primary_key=True, comment="SHA-256 of the bytes, 64 hex digits")
    kind: Mapped[str] = mapped_column(comment="video, or images (no time axis)")
    path: Mapped[str] = mapped_column(comment="absolute, or relative to the home")
    duration_ms: Mapped[int | None] = mapped_column(comment="null for images")
    width: Mapped[int | None] = mapped_column(comment="px after rotation; null for images")
    height: Mapped[int | None] = mapped_column(comment="px after rotation")
    fps: Mapped[str | None] = mapped_column(comment="average frames/s, such as 30000/1001")
    codec: Mapped[str | None] = mapped_column(comment="name in FFmpeg")
    gaps: Mapped[list[Any] | None] = mapped_column(
        comment="[start, end] in ms of stretches without frames; null: none"
    )
    black_level: Mapped[int | None] = mapped_column(comment="of 16-bit images, shown as black; null: 8 bits")
    white_level: Mapped[int | None] = mapped_column(comment="of 16-bit images, shown as white")


class ImageRow(Base):
    """One image of a set; its position is the `image_index` of its frame."""

    __tablename__ = "image"

    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, comment="from 0, by name; never changes")
    sha256: Mapped[str] = mapped_column(unique=True, comment="of the bytes; an image is in one set only")
    path: Mapped[str] = mapped_column(comment="last known path of the file")
    name: Mapped[str] = mapped_column(comment="original file name")


class SourceRow(Base):
    """Where videos come from, with the metadata that a list or the web page gives."""

    __tablename__ = "source"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="from the spec")
    spec: Mapped[str] = mapped_column(unique=True, comment="path, archive!member or URL; no credentials")
    kind: Mapped[str] = mapped_column(comment="see SourceKind; unknown if it failed")
    attempts: Mapped[int] = mapped_column(default=0, comment="number of fetches")
    url: Mapped[str | None] = mapped_column(comment="page or file, without credentials")
    title: Mapped[str | None] = mapped_column()
    uploader: Mapped[str | None] = mapped_column()
    license: Mapped[str | None] = mapped_column(comment="as stated by the origin; null: not stated")
    upload_date: Mapped[str | None] = mapped_column(comment="ISO 8601 date")


class SourceVideoRow(Base):
    """A video that a source gave. A folder of images that grows gives several sets."""

    __tablename__ = "source_video"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"), primary_key=True, index=True)


class RunSourceRow(Base):
    """A source requested for a run, and the result of fetching it."""

    __tablename__ = "run_source"
    __table_args__ = (CheckConstraint("state IN ('ok', 'failed')", name="state"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    state: Mapped[str] = mapped_column(comment="ok or failed, at the last fetch")
    error_code: Mapped[str | None] = mapped_column(comment="code of an error in configs.errors")
    error_message: Mapped[str | None] = mapped_column(comment="what happened and what to do")
    retryable: Mapped[bool] = mapped_column(default=False, comment="the same fetch may succeed later")


class PassedOverRow(Base):
    """Contents of a run's sources that were not looked at, counted by reason at the last fetch."""

    __tablename__ = "passed_over"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    given: Mapped[str] = mapped_column(primary_key=True, comment="source as it was given to the run")
    spec: Mapped[str] = mapped_column(
        primary_key=True, comment="folder, list, archive or video that has them"
    )
    reason: Mapped[str] = mapped_column(primary_key=True, comment="what they are, and what to do")
    count: Mapped[int]
    examples: Mapped[list[Any]] = mapped_column(comment="names of the first ones")


class LeaseRow(Base):
    """A running flow, which may hold shards. It refreshes its heartbeat; the row is deleted at its end."""

    __tablename__ = "lease"

    id: Mapped[str] = mapped_column(primary_key=True, comment="Prefect's id of the flow run")
    flow: Mapped[str] = mapped_column(comment="name of the flow")
    host: Mapped[str] = mapped_column(comment="host and process")
    process: Mapped[str | None] = mapped_column(
        comment="machine, pid and start time of the process; null: unknown"
    )
    started_at: Mapped[datetime] = mapped_column(comment="UTC, the database's clock")
    heartbeat_at: Mapped[datetime] = mapped_column(comment="UTC, last heartbeat, the database's clock")


class ShardRow(Base):
    """A time range of one video in one run: the unit of work, retry and commit."""

    __tablename__ = "shard"
    __table_args__ = (
        UniqueConstraint("run_id", "video_id", "start_ms"),
        CheckConstraint("state IN ('planned', 'done', 'failed')", name="state"),
        Index("ix_shard_run_id_state", "run_id", "state"),
    )

    id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="hash of run, video, start"
    )
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"), index=True)
    start_ms: Mapped[int] = mapped_column(comment="first time; for images, the first index")
    end_ms: Mapped[int | None] = mapped_column(comment="first time or index after it; null: open end")
    state: Mapped[str] = mapped_column(default="planned")
    error_code: Mapped[str | None] = mapped_column()
    error_message: Mapped[str | None] = mapped_column()
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="frames per stage")
    seconds: Mapped[dict[str, Any]] = mapped_column(default=dict, comment="wall seconds per stage")
    planned_at: Mapped[datetime] = mapped_column(comment="UTC; the oldest comes first")
    leased_by: Mapped[str | None] = mapped_column(
        ForeignKey("lease.id"), index=True, comment="the lease that holds it; null: free"
    )
    attempts_lost: Mapped[int] = mapped_column(default=0, comment="times its worker crashed")
    agreement_histogram: Mapped[dict[str, Any]] = mapped_column(
        default=dict,
        comment="see db.frames.histograms; empty: not done",
    )
    finished_at: Mapped[datetime | None] = mapped_column(comment="UTC")


def _unique_where(name: str, *columns: str, where: str) -> Index:
    """Return a unique index of some rows: a constraint on all rows would not compare null with null."""
    return Index(name, *columns, unique=True, sqlite_where=text(where), postgresql_where=text(where))


class FrameRow(Base):
    """One sampled image; shared by all runs that sampled it."""

    __tablename__ = "frame"
    __table_args__ = (
        CheckConstraint("pts_ms IS NOT NULL OR image_index IS NOT NULL", name="time_or_index"),
        Index("ix_frame_video_id_image_index_pts_ms", "video_id", "image_index", "pts_ms"),
        _unique_where("uq_frame_video_id_pts_ms", "video_id", "pts_ms", where="image_index IS NULL"),
        _unique_where(
            "uq_frame_video_id_image_index", "video_id", "image_index", where="image_index IS NOT NULL"
        ),
    )

    id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="hash of video, and image_index or pts_ms"
    )
    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"))
    pts_ms: Mapped[int | None] = mapped_column(comment="presentation time; null: an image without a time")
    image_index: Mapped[int | None] = mapped_column(comment="position in its set; null: a frame of a video")
    width: Mapped[int | None] = mapped_column(comment="px; null if only rejected so far")
    height: Mapped[int | None] = mapped_column(comment="px")
    sharpness: Mapped[float] = mapped_column(comment="variance of the Laplacian, 640 px wide")
    name: Mapped[str] = mapped_column(default="", comment="file name, for a set of images")

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.height or 0, self.width or 0


class ModelRow(Base):
    """A segmenter with its weights and settings."""

    __tablename__ = "model"

    id: Mapped[str] = mapped_column(primary_key=True, comment="16 hex digits, hash of the columns below")
    kind: Mapped[str] = mapped_column()
    name: Mapped[str] = mapped_column()
    weights_sha256: Mapped[str] = mapped_column(comment="empty: no weights")
    settings: Mapped[str] = mapped_column(comment="canonical JSON")
    gives_instances: Mapped[bool | None] = mapped_column(comment="false: one mask for all; null: unknown")

    @property
    def full_name(self) -> str:
        """Kind and name, such as `torchvision:maskrcnn_resnet50_fpn_v2`."""
        return f"{self.kind}:{self.name}"


class InstanceRow(Base):
    """One person predicted by one model in one run; boxes and keypoints are in px."""

    __tablename__ = "instance"
    __table_args__ = (
        UniqueConstraint("run_id", "frame_id", "role", "rank"),
        CheckConstraint("role IN ('teacher', 'student')", name="role"),
        CheckConstraint("decision IN ('accepted', 'review', 'ignored')", name="decision"),
        Index("ix_instance_frame_id", "frame_id"),
    )

    id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="hash of run, frame, role, rank"
    )
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"))
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"))
    role: Mapped[str] = mapped_column(comment="teacher or student")
    rank: Mapped[int] = mapped_column(comment="order given by the model, from 0")
    rle: Mapped[bytes] = mapped_column(comment="counts of a COCO RLE in the frame's size")
    detector_box_x: Mapped[float] = mapped_column(comment="box from the detector, px")
    detector_box_y: Mapped[float] = mapped_column()
    detector_box_w: Mapped[float] = mapped_column()
    detector_box_h: Mapped[float] = mapped_column()
    area_px: Mapped[int] = mapped_column(comment="mask area")
    mask_box_x: Mapped[float] = mapped_column(comment="tight box of the mask, whole px")
    mask_box_y: Mapped[float] = mapped_column()
    mask_box_w: Mapped[float] = mapped_column()
    mask_box_h: Mapped[float] = mapped_column()
    score: Mapped[float] = mapped_column(comment="0 to 1")
    keypoints: Mapped[list[Any] | None] = mapped_column(comment="17 x [x, y, confidence]")
    trust: Mapped[float | None] = mapped_column(comment="probability that the mask is right")
    refined_by: Mapped[str | None] = mapped_column(comment="refiners that replaced the mask; null: none")
    iou_before: Mapped[float | None] = mapped_column(
        comment="IoU with the model's own mask; null: not refined"
    )
    track_id: Mapped[int | None] = mapped_column(comment="the person in this video; null: not tracked")
    category: Mapped[str] = mapped_column(server_default=PERSON, comment="of the dataset")
    decision: Mapped[str | None] = mapped_column(
        comment="accepted, review or ignored; null: not decided for itself"
    )


class TrackRow(Base):
    """A person's track within one shard. Tracks of one person in several shards have one `track_id`."""

    __tablename__ = "track"
    __table_args__ = (Index("ix_track_run_id", "run_id"),)

    shard_id: Mapped[int] = mapped_column(ForeignKey("shard.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, comment="in the shard, from 1")
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
    track_id: Mapped[int | None] = mapped_column(comment="the person in the video, as in instance")
    is_given: Mapped[bool] = mapped_column(comment="the segmenter gave the number; it never changes")
    previous: Mapped[int | None] = mapped_column(
        comment="number in the shard before of the track that it continues; null: a new person"
    )
    first_ms: Mapped[int] = mapped_column(comment="time of its first instance")
    last_ms: Mapped[int] = mapped_column(comment="time of its last instance")
    frames: Mapped[int] = mapped_column(comment="frames with an instance of it")
    begin: Mapped[dict[str, Any] | None] = mapped_column(
        JSON(none_as_null=True), comment="state where it begins, near the shard's start; null: later"
    )
    end: Mapped[dict[str, Any] | None] = mapped_column(
        JSON(none_as_null=True), comment="state where it ends, near the shard's end; null: earlier"
    )


class AgreementRow(Base):
    """How well teacher and student agree on one frame of one run."""

    __tablename__ = "agreement"
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    iou: Mapped[float] = mapped_column(comment="of the mask unions, 0 to 1")
    boundary_iou: Mapped[float] = mapped_column(comment="of the mask unions, 0 to 1")
    both_empty: Mapped[bool] = mapped_column(comment="no person in either: IoU 1")
    is_hard: Mapped[bool] = mapped_column()
    matches: Mapped[list[Any]] = mapped_column(comment="[teacher rank, student rank, IoU]")
    mismatches: Mapped[list[Any]] = mapped_column(comment="[cause, teacher, student, IoU], by ranks")
    category_ious: Mapped[list[Any] | None] = mapped_column(
        comment="[category, IoU]; iou is the lowest; null: only people"
    )


class DecisionRow(Base):
    """The decision of one run about one frame.

    `expected_iou` is defined in labeling.comparison.agreement, `priority` in labeling.review.queue, `occupancy` in
    labeling.review.occupancy.
    """

    __tablename__ = "decision"
    __table_args__ = (
        CheckConstraint("decision IN ('rejected', 'easy', 'accepted', 'review')", name="decision"),
        Index("ix_decision_run_id_decision_expected_iou", "run_id", "decision", "expected_iou", "frame_id"),
    )

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    decision: Mapped[str] = mapped_column()
    rule: Mapped[str | None] = mapped_column(comment="filter that rejected it; null: none")
    expected_iou: Mapped[float | None] = mapped_column(comment="sort key of lists; null: not compared")
    trust: Mapped[float | None] = mapped_column(comment="probability that all masks are right")
    priority: Mapped[float | None] = mapped_column(comment="of a review, 0 to 1; null: not hard")
    reasons: Mapped[list[Any]] = mapped_column(comment="labeling.structures.reasons: code and values")
    shot_start_ms: Mapped[int] = mapped_column(comment="start of its shot in this run; index of an image")
    image: Mapped[str | None] = mapped_column(comment="path below the home; null: rejected")
    occupancy: Mapped[bytes | None] = mapped_column(comment="16 x 16 float16; null: not hard")
    found: Mapped[float | None] = mapped_column(
        comment="probability that every person is found; null: not known"
    )
    accepted_people: Mapped[int | None] = mapped_column(
        comment="persons accepted in a frame in which every person is found; null: not decided by person"
    )
    doubtful_people: Mapped[int | None] = mapped_column(
        comment="persons that are not accepted; null: not decided by person"
    )
