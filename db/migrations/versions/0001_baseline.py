"""The schema of the first release.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# These tables are a copy: later changes of db.models must not change what this revision creates.
_METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_LIST = sa.JSON(none_as_null=True)

sa.Table(
    "label_studio_project",
    _METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False, comment="hash of location, title"),
    sa.Column("location", sa.String, nullable=False, comment="server URL, or `local` for this home's own"),
    sa.Column("title", sa.String, nullable=False, comment="as created; may differ by now"),
    sa.Column("external_id", sa.BigInteger, nullable=False, comment="id in Label Studio"),
    sa.Column("settings", sa.JSON, nullable=False, comment="review settings of the last push"),
    sa.Column("pulled_until", sa.DateTime, comment="UTC of the server; null: never pulled"),
)
sa.Table(
    "lease",
    _METADATA,
    sa.Column("id", sa.String, primary_key=True, comment="Prefect's id of the flow run"),
    sa.Column("flow", sa.String, nullable=False, comment="name of the flow"),
    sa.Column("host", sa.String, nullable=False, comment="host and process"),
    sa.Column("process", sa.String, comment="machine, pid and start time of the process; null: unknown"),
    sa.Column("started_at", sa.DateTime, nullable=False, comment="UTC, the database's clock"),
    sa.Column(
        "heartbeat_at", sa.DateTime, nullable=False, comment="UTC, last heartbeat, the database's clock"
    ),
)
sa.Table(
    "model",
    _METADATA,
    sa.Column("id", sa.String, primary_key=True, comment="16 hex digits, hash of the columns below"),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("weights_sha256", sa.String, nullable=False, comment="empty: no weights"),
    sa.Column("settings", sa.String, nullable=False, comment="canonical JSON"),
    sa.Column("gives_instances", sa.Boolean, comment="false: one mask for all; null: unknown"),
)
sa.Table(
    "run",
    _METADATA,
    sa.Column("id", sa.String, primary_key=True, comment="16 hex digits of the config's SHA-256"),
    sa.Column("name", sa.String, nullable=False, comment="preset or file of the config"),
    sa.Column("config", sa.JSON, nullable=False, comment="the complete config, defaults filled in"),
    sa.Column("code_version", sa.String, nullable=False, comment="last maskmill version used"),
    sa.Column("started_at", sa.DateTime, nullable=False, comment="UTC, first time"),
    sa.Column("worked_at", sa.DateTime, nullable=False, comment="UTC, last time"),
    sa.Column("finished_at", sa.DateTime, comment="UTC, last time all shards were done"),
    sa.Column("models", sa.JSON, nullable=False, comment="model id by role"),
    sa.Column("counts", sa.JSON, nullable=False, comment="frames by decision at the end"),
)
sa.Table(
    "source",
    _METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False, comment="from the spec"),
    sa.Column(
        "spec", sa.String, nullable=False, unique=True, comment="path, archive!member or URL; no credentials"
    ),
    sa.Column("kind", sa.String, nullable=False, comment="see SourceKind; unknown if it failed"),
    sa.Column("attempts", sa.BigInteger, nullable=False, comment="number of fetches"),
    sa.Column("url", sa.String, comment="page or file, without credentials"),
    sa.Column("title", sa.String),
    sa.Column("uploader", sa.String),
    sa.Column("license", sa.String, comment="as stated by the origin; null: not stated"),
    sa.Column("upload_date", sa.String, comment="ISO 8601 date"),
)
sa.Table(
    "video",
    _METADATA,
    sa.Column("id", sa.String, primary_key=True, comment="SHA-256 of the bytes, 64 hex digits"),
    sa.Column("kind", sa.String, nullable=False, comment="video, or images (no time axis)"),
    sa.Column("path", sa.String, nullable=False, comment="absolute, or relative to the home"),
    sa.Column("duration_ms", sa.BigInteger, comment="null for images"),
    sa.Column("width", sa.BigInteger, comment="px after rotation; null for images"),
    sa.Column("height", sa.BigInteger, comment="px after rotation"),
    sa.Column("fps", sa.String, comment="average frames/s, such as 30000/1001"),
    sa.Column("codec", sa.String, comment="name in FFmpeg"),
    sa.CheckConstraint("kind IN ('video', 'images')", name="kind"),
)
sa.Table(
    "frame",
    _METADATA,
    sa.Column(
        "id",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="hash of video, and image_index or pts_ms",
    ),
    sa.Column("video_id", sa.ForeignKey("video.id"), nullable=False),
    sa.Column("pts_ms", sa.BigInteger, comment="presentation time; null: an image without a time"),
    sa.Column("image_index", sa.BigInteger, comment="position in its set; null: a frame of a video"),
    sa.Column("width", sa.BigInteger, comment="px; null if only rejected so far"),
    sa.Column("height", sa.BigInteger, comment="px"),
    sa.Column("sharpness", sa.Float, nullable=False, comment="variance of the Laplacian, 640 px wide"),
    sa.Column("name", sa.String, nullable=False, comment="file name, for a set of images"),
    sa.CheckConstraint("pts_ms IS NOT NULL OR image_index IS NOT NULL", name="time_or_index"),
    sa.Index("ix_frame_video_id_image_index_pts_ms", "video_id", "image_index", "pts_ms"),
    sa.Index(
        "uq_frame_video_id_image_index",
        "video_id",
        "image_index",
        unique=True,
        sqlite_where=sa.text("image_index IS NOT NULL"),
        postgresql_where=sa.text("image_index IS NOT NULL"),
    ),
    sa.Index(
        "uq_frame_video_id_pts_ms",
        "video_id",
        "pts_ms",
        unique=True,
        sqlite_where=sa.text("image_index IS NULL"),
        postgresql_where=sa.text("image_index IS NULL"),
    ),
)
sa.Table(
    "image",
    _METADATA,
    sa.Column("video_id", sa.ForeignKey("video.id"), primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True, comment="from 0, by name; never changes"),
    sa.Column(
        "sha256", sa.String, nullable=False, unique=True, comment="of the bytes; an image is in one set only"
    ),
    sa.Column("path", sa.String, nullable=False, comment="last known path of the file"),
    sa.Column("name", sa.String, nullable=False, comment="original file name"),
)
sa.Table(
    "run_source",
    _METADATA,
    sa.Column("run_id", sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("source_id", sa.ForeignKey("source.id"), primary_key=True),
    sa.Column("state", sa.String, nullable=False, comment="ok or failed, at the last fetch"),
    sa.Column("error_code", sa.String, comment="code of an error in configs.errors"),
    sa.Column("error_message", sa.String, comment="what happened and what to do"),
    sa.Column("retryable", sa.Boolean, nullable=False, comment="the same fetch may succeed later"),
    sa.CheckConstraint("state IN ('ok', 'failed')", name="state"),
)
sa.Table(
    "shard",
    _METADATA,
    sa.Column(
        "id", sa.BigInteger, primary_key=True, autoincrement=False, comment="hash of run, video, start"
    ),
    sa.Column("run_id", sa.ForeignKey("run.id"), nullable=False),
    sa.Column("video_id", sa.ForeignKey("video.id"), nullable=False, index=True),
    sa.Column("start_ms", sa.BigInteger, nullable=False, comment="first time; for images, the first index"),
    sa.Column("end_ms", sa.BigInteger, comment="first time or index after it; null: open end"),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("error_code", sa.String),
    sa.Column("error_message", sa.String),
    sa.Column("counts", sa.JSON, nullable=False, comment="frames per stage"),
    sa.Column("seconds", sa.JSON, nullable=False, comment="wall seconds per stage"),
    sa.Column("planned_at", sa.DateTime, nullable=False, comment="UTC; the oldest comes first"),
    sa.Column(
        "leased_by", sa.ForeignKey("lease.id"), index=True, comment="the lease that holds it; null: free"
    ),
    sa.Column("attempts_lost", sa.BigInteger, nullable=False, comment="times its worker crashed"),
    sa.Column(
        "agreement_histogram", sa.JSON, nullable=False, comment="see db.frames.histograms; empty: not done"
    ),
    sa.Column("finished_at", sa.DateTime, comment="UTC"),
    sa.CheckConstraint("state IN ('planned', 'done', 'failed')", name="state"),
    sa.UniqueConstraint("run_id", "video_id", "start_ms"),
    sa.Index("ix_shard_run_id_state", "run_id", "state"),
)
sa.Table(
    "source_video",
    _METADATA,
    sa.Column("source_id", sa.ForeignKey("source.id"), primary_key=True),
    sa.Column("video_id", sa.ForeignKey("video.id"), primary_key=True, index=True),
)
sa.Table(
    "agreement",
    _METADATA,
    sa.Column("run_id", sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("frame_id", sa.ForeignKey("frame.id"), primary_key=True),
    sa.Column("iou", sa.Float, nullable=False, comment="of the mask unions, 0 to 1"),
    sa.Column("boundary_iou", sa.Float, nullable=False, comment="of the mask unions, 0 to 1"),
    sa.Column("both_empty", sa.Boolean, nullable=False, comment="no person in either: IoU 1"),
    sa.Column("is_hard", sa.Boolean, nullable=False),
    sa.Column("matches", _LIST, nullable=False, comment="[teacher rank, student rank, IoU]"),
    sa.Column("mismatches", _LIST, nullable=False, comment="[cause, teacher, student, IoU], by ranks"),
)
sa.Table(
    "annotation",
    _METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False, comment="hash of project, version"),
    sa.Column("frame_id", sa.ForeignKey("frame.id"), nullable=False),
    sa.Column("run_id", sa.ForeignKey("run.id"), nullable=False, comment="run whose masks were shown"),
    sa.Column("project_id", sa.ForeignKey("label_studio_project.id"), nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False, comment="task id in Label Studio"),
    sa.Column("external_id", sa.BigInteger, nullable=False, comment="annotation id in Label Studio"),
    sa.Column("state", sa.String, nullable=False, comment="current, replaced or deleted"),
    sa.Column("annotator", sa.String, nullable=False, comment="e-mail, or `user N`"),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("seconds", sa.Float, comment="human work so far; null: not measured"),
    sa.Column("created_at", sa.DateTime, nullable=False, comment="UTC"),
    sa.Column("updated_at", sa.DateTime, nullable=False, comment="UTC; identifies the version"),
    sa.Column("note", sa.String, nullable=False, comment="text written by the annotator"),
    sa.Column("problems", _LIST, nullable=False, comment="unreadable regions"),
    sa.CheckConstraint("state IN ('current', 'replaced', 'deleted')", name="state"),
    sa.CheckConstraint("verdict IN ('correct', 'corrected', 'unusable', 'skipped')", name="verdict"),
    sa.Index("ix_annotation_frame_id", "frame_id"),
)
sa.Table(
    "decision",
    _METADATA,
    sa.Column("run_id", sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("frame_id", sa.ForeignKey("frame.id"), primary_key=True),
    sa.Column("decision", sa.String, nullable=False),
    sa.Column("rule", sa.String, comment="filter that rejected it; null: none"),
    sa.Column("expected_iou", sa.Float, comment="sort key of lists; null: not compared"),
    sa.Column("trust", sa.Float, comment="probability that all masks are right"),
    sa.Column("priority", sa.Float, comment="of a review, 0 to 1; null: not hard"),
    sa.Column("reasons", _LIST, nullable=False, comment="labeling.structures.reasons: code and values"),
    sa.Column(
        "shot_start_ms",
        sa.BigInteger,
        nullable=False,
        comment="start of its shot in this run; index of an image",
    ),
    sa.Column("image", sa.String, comment="path below the home; null: rejected"),
    sa.Column("occupancy", sa.LargeBinary, comment="16 x 16 float16; null: not hard"),
    sa.CheckConstraint("decision IN ('rejected', 'easy', 'accepted', 'review')", name="decision"),
    sa.Index("ix_decision_run_id_decision_expected_iou", "run_id", "decision", "expected_iou", "frame_id"),
)
sa.Table(
    "instance",
    _METADATA,
    sa.Column(
        "id", sa.BigInteger, primary_key=True, autoincrement=False, comment="hash of run, frame, role, rank"
    ),
    sa.Column("run_id", sa.ForeignKey("run.id"), nullable=False),
    sa.Column("frame_id", sa.ForeignKey("frame.id"), nullable=False),
    sa.Column("model_id", sa.ForeignKey("model.id"), nullable=False),
    sa.Column("role", sa.String, nullable=False, comment="teacher or student"),
    sa.Column("rank", sa.BigInteger, nullable=False, comment="order given by the model, from 0"),
    sa.Column("rle", sa.LargeBinary, nullable=False, comment="counts of a COCO RLE in the frame's size"),
    sa.Column("detector_box_x", sa.Float, nullable=False, comment="box from the detector, px"),
    sa.Column("detector_box_y", sa.Float, nullable=False),
    sa.Column("detector_box_w", sa.Float, nullable=False),
    sa.Column("detector_box_h", sa.Float, nullable=False),
    sa.Column("area_px", sa.BigInteger, nullable=False, comment="mask area"),
    sa.Column("mask_box_x", sa.Float, nullable=False, comment="tight box of the mask, whole px"),
    sa.Column("mask_box_y", sa.Float, nullable=False),
    sa.Column("mask_box_w", sa.Float, nullable=False),
    sa.Column("mask_box_h", sa.Float, nullable=False),
    sa.Column("score", sa.Float, nullable=False, comment="0 to 1"),
    sa.Column("keypoints", _LIST, comment="17 x [x, y, confidence]"),
    sa.Column("trust", sa.Float, comment="probability that the mask is right"),
    sa.Column("refined_by", sa.String, comment="refiners that replaced the mask; null: none"),
    sa.Column("iou_before", sa.Float, comment="IoU with the model's own mask; null: not refined"),
    sa.CheckConstraint("role IN ('teacher', 'student')", name="role"),
    sa.UniqueConstraint("run_id", "frame_id", "role", "rank"),
    sa.Index("ix_instance_frame_id", "frame_id"),
)
sa.Table(
    "review",
    _METADATA,
    sa.Column("frame_id", sa.ForeignKey("frame.id"), primary_key=True),
    sa.Column("run_id", sa.ForeignKey("run.id"), nullable=False, comment="run whose masks are shown"),
    sa.Column(
        "state",
        sa.String,
        nullable=False,
        comment="waiting: to be sent; sending: sent, not confirmed; open: no annotation yet; reviewed: has a consensus; unresolved: annotated without a consensus; skipped: skipped by all annotators; withdrawn: no longer to be reviewed; deleted: its task was deleted in Label Studio",
    ),
    sa.Column("priority", sa.Float, nullable=False, comment="as decided by that run; highest first"),
    sa.Column("project_id", sa.ForeignKey("label_studio_project.id"), comment="null: waiting"),
    sa.Column("task_id", sa.BigInteger, comment="task id in Label Studio"),
    sa.Column("fingerprint", sa.String, nullable=False, comment="SHA-256 of the predictions sent"),
    sa.Column("sent_at", sa.DateTime, comment="UTC, last time"),
    sa.CheckConstraint(
        "state IN ('waiting', 'sending', 'open', 'reviewed', 'unresolved', 'skipped', 'withdrawn', 'deleted')",
        name="state",
    ),
    sa.Index("ix_review_project_id_state", "project_id", "state"),
    sa.Index("ix_review_run_id_state_priority", "run_id", "state", "priority", "frame_id"),
)
sa.Table(
    "consensus",
    _METADATA,
    sa.Column("frame_id", sa.ForeignKey("frame.id"), primary_key=True),
    sa.Column("annotation_id", sa.ForeignKey("annotation.id"), nullable=False, index=True),
    sa.Column("verdict", sa.String, nullable=False, comment="correct, corrected or unusable"),
    sa.Column("rule", sa.String, nullable=False, comment="latest or agreement"),
    sa.Column("annotators", _LIST, nullable=False, comment="all considered"),
    sa.Column("agreement", sa.Float, comment="mean union IoU of pairs; null: no pair"),
)
sa.Table(
    "model_score",
    _METADATA,
    sa.Column("run_id", sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("frame_id", sa.ForeignKey("frame.id"), primary_key=True),
    sa.Column("role", sa.String, primary_key=True),
    sa.Column("annotation_id", sa.ForeignKey("annotation.id"), nullable=False, comment="of the consensus"),
    sa.Column("iou", sa.Float, nullable=False, comment="of the mask unions, 0 to 1"),
    sa.Column("boundary_iou", sa.Float, nullable=False, comment="of the mask unions, 0 to 1"),
    sa.Column("mismatches", _LIST, nullable=False, comment="as in agreement"),
    sa.CheckConstraint("role IN ('teacher', 'student')", name="role"),
    sa.Index("ix_model_score_frame_id", "frame_id"),
)
sa.Table(
    "reviewed_instance",
    _METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False, comment="hash of annotation, rank"),
    sa.Column("annotation_id", sa.ForeignKey("annotation.id"), nullable=False),
    sa.Column("rank", sa.BigInteger, nullable=False, comment="from 0"),
    sa.Column("source_id", sa.ForeignKey("instance.id"), comment="mask shown; null: drawn by hand"),
    sa.Column("origin", sa.String, nullable=False, comment="untouched, corrected or drawn by hand"),
    sa.Column("iou", sa.Float, comment="with the mask shown; null: drawn by hand"),
    sa.Column("rle", sa.LargeBinary, nullable=False, comment="counts of a COCO RLE in the frame's size"),
    sa.Column("area_px", sa.BigInteger, nullable=False, comment="mask area"),
    sa.Column("mask_box_x", sa.Float, nullable=False, comment="tight box of the mask, whole px"),
    sa.Column("mask_box_y", sa.Float, nullable=False),
    sa.Column("mask_box_w", sa.Float, nullable=False),
    sa.Column("mask_box_h", sa.Float, nullable=False),
    sa.Column("keypoints", _LIST, comment="17 x [x, y, confidence]"),
    sa.CheckConstraint("origin IN ('prediction', 'prediction-changed', 'manual')", name="origin"),
    sa.Index("ix_reviewed_instance_annotation_id", "annotation_id"),
    sa.Index("ix_reviewed_instance_source_id", "source_id"),
)


def upgrade() -> None:
    _METADATA.create_all(op.get_bind())


def downgrade() -> None:
    _METADATA.drop_all(op.get_bind())
