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


def upgrade() -> None:
    op.create_table(
        "label_studio_project",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="hash of location, title"
        ),
        sa.Column(
            "location", sa.String(), nullable=False, comment="server URL, or `local` for this home's own"
        ),
        sa.Column("title", sa.String(), nullable=False, comment="as created; may differ by now"),
        sa.Column("external_id", sa.BigInteger(), nullable=False, comment="id in Label Studio"),
        sa.Column("settings", sa.JSON(), nullable=False, comment="review settings of the last push"),
        sa.Column(
            "pulled_until", sa.DateTime(), nullable=True, comment="UTC of the server; null: never pulled"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_studio_project")),
    )
    op.create_table(
        "lease",
        sa.Column("id", sa.String(), nullable=False, comment="Prefect's id of the flow run"),
        sa.Column("flow", sa.String(), nullable=False, comment="name of the flow"),
        sa.Column("host", sa.String(), nullable=False, comment="host and process"),
        sa.Column(
            "process",
            sa.String(),
            nullable=True,
            comment="machine, pid and start time of the process; null: unknown",
        ),
        sa.Column("started_at", sa.DateTime(), nullable=False, comment="UTC, the database's clock"),
        sa.Column(
            "heartbeat_at", sa.DateTime(), nullable=False, comment="UTC, last heartbeat, the database's clock"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease")),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.String(), nullable=False, comment="16 hex digits, hash of the columns below"),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("weights_sha256", sa.String(), nullable=False, comment="empty: no weights"),
        sa.Column("settings", sa.String(), nullable=False, comment="canonical JSON"),
        sa.Column(
            "gives_instances", sa.Boolean(), nullable=True, comment="false: one mask for all; null: unknown"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.String(), nullable=False, comment="16 hex digits of the config's SHA-256"),
        sa.Column("name", sa.String(), nullable=False, comment="preset or file of the config"),
        sa.Column("config", sa.JSON(), nullable=False, comment="the complete config, defaults filled in"),
        sa.Column("code_version", sa.String(), nullable=False, comment="last maskmill version used"),
        sa.Column("started_at", sa.DateTime(), nullable=False, comment="UTC, first time"),
        sa.Column("worked_at", sa.DateTime(), nullable=False, comment="UTC, last time"),
        sa.Column("finished_at", sa.DateTime(), nullable=True, comment="UTC, last time all shards were done"),
        sa.Column("models", sa.JSON(), nullable=False, comment="model id by role"),
        sa.Column("counts", sa.JSON(), nullable=False, comment="frames by decision at the end"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False, comment="from the spec"),
        sa.Column("spec", sa.String(), nullable=False, comment="path, archive!member or URL; no credentials"),
        sa.Column("kind", sa.String(), nullable=False, comment="see SourceKind; unknown if it failed"),
        sa.Column("attempts", sa.BigInteger(), nullable=False, comment="number of fetches"),
        sa.Column("url", sa.String(), nullable=True, comment="page or file, without credentials"),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("uploader", sa.String(), nullable=True),
        sa.Column("license", sa.String(), nullable=True, comment="as stated by the origin; null: not stated"),
        sa.Column("upload_date", sa.String(), nullable=True, comment="ISO 8601 date"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("spec", name=op.f("uq_source_spec")),
    )
    op.create_table(
        "video",
        sa.Column("id", sa.String(), nullable=False, comment="SHA-256 of the bytes, 64 hex digits"),
        sa.Column("kind", sa.String(), nullable=False, comment="video, or images (no time axis)"),
        sa.Column("path", sa.String(), nullable=False, comment="absolute, or relative to the home"),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True, comment="null for images"),
        sa.Column("width", sa.BigInteger(), nullable=True, comment="px after rotation; null for images"),
        sa.Column("height", sa.BigInteger(), nullable=True, comment="px after rotation"),
        sa.Column("fps", sa.String(), nullable=True, comment="average frames/s, such as 30000/1001"),
        sa.Column("codec", sa.String(), nullable=True, comment="name in FFmpeg"),
        sa.CheckConstraint("kind IN ('video', 'images')", name=op.f("ck_video_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_video")),
    )
    op.create_table(
        "frame",
        sa.Column(
            "id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="hash of video, and image_index or pts_ms",
        ),
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column(
            "pts_ms",
            sa.BigInteger(),
            nullable=True,
            comment="presentation time; null: an image without a time",
        ),
        sa.Column(
            "image_index",
            sa.BigInteger(),
            nullable=True,
            comment="position in its set; null: a frame of a video",
        ),
        sa.Column("width", sa.BigInteger(), nullable=True, comment="px; null if only rejected so far"),
        sa.Column("height", sa.BigInteger(), nullable=True, comment="px"),
        sa.Column("sharpness", sa.Float(), nullable=False, comment="variance of the Laplacian, 640 px wide"),
        sa.Column("name", sa.String(), nullable=False, comment="file name, for a set of images"),
        sa.CheckConstraint(
            "pts_ms IS NOT NULL OR image_index IS NOT NULL", name=op.f("ck_frame_time_or_index")
        ),
        sa.ForeignKeyConstraint(["video_id"], ["video.id"], name=op.f("fk_frame_video_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_frame")),
    )
    op.create_index(
        "ix_frame_video_id_image_index_pts_ms", "frame", ["video_id", "image_index", "pts_ms"], unique=False
    )
    op.create_index(
        "uq_frame_video_id_image_index",
        "frame",
        ["video_id", "image_index"],
        unique=True,
        sqlite_where=sa.text("image_index IS NOT NULL"),
        postgresql_where=sa.text("image_index IS NOT NULL"),
    )
    op.create_index(
        "uq_frame_video_id_pts_ms",
        "frame",
        ["video_id", "pts_ms"],
        unique=True,
        sqlite_where=sa.text("image_index IS NULL"),
        postgresql_where=sa.text("image_index IS NULL"),
    )
    op.create_table(
        "image",
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="from 0, by name; never changes"),
        sa.Column("sha256", sa.String(), nullable=False, comment="of the bytes; an image is in one set only"),
        sa.Column("path", sa.String(), nullable=False, comment="last known path of the file"),
        sa.Column("name", sa.String(), nullable=False, comment="original file name"),
        sa.ForeignKeyConstraint(["video_id"], ["video.id"], name=op.f("fk_image_video_id")),
        sa.PrimaryKeyConstraint("video_id", "position", name=op.f("pk_image")),
        sa.UniqueConstraint("sha256", name=op.f("uq_image_sha256")),
    )
    op.create_table(
        "run_source",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False, comment="ok or failed, at the last fetch"),
        sa.Column("error_code", sa.String(), nullable=True, comment="code of an error in configs.errors"),
        sa.Column("error_message", sa.String(), nullable=True, comment="what happened and what to do"),
        sa.Column("retryable", sa.Boolean(), nullable=False, comment="the same fetch may succeed later"),
        sa.CheckConstraint("state IN ('ok', 'failed')", name=op.f("ck_run_source_state")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_source_run_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_run_source_source_id")),
        sa.PrimaryKeyConstraint("run_id", "source_id", name=op.f("pk_run_source")),
    )
    op.create_table(
        "shard",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="hash of run, video, start"
        ),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column(
            "start_ms", sa.BigInteger(), nullable=False, comment="first time; for images, the first index"
        ),
        sa.Column(
            "end_ms", sa.BigInteger(), nullable=True, comment="first time or index after it; null: open end"
        ),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False, comment="frames per stage"),
        sa.Column("seconds", sa.JSON(), nullable=False, comment="wall seconds per stage"),
        sa.Column("planned_at", sa.DateTime(), nullable=False, comment="UTC; the oldest comes first"),
        sa.Column("leased_by", sa.String(), nullable=True, comment="the lease that holds it; null: free"),
        sa.Column("attempts_lost", sa.BigInteger(), nullable=False, comment="times its worker crashed"),
        sa.Column(
            "agreement_histogram",
            sa.JSON(),
            nullable=False,
            comment="see db.frames.histograms; empty: not done",
        ),
        sa.Column("finished_at", sa.DateTime(), nullable=True, comment="UTC"),
        sa.CheckConstraint("state IN ('planned', 'done', 'failed')", name=op.f("ck_shard_state")),
        sa.ForeignKeyConstraint(["leased_by"], ["lease.id"], name=op.f("fk_shard_leased_by")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_shard_run_id")),
        sa.ForeignKeyConstraint(["video_id"], ["video.id"], name=op.f("fk_shard_video_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shard")),
        sa.UniqueConstraint("run_id", "video_id", "start_ms", name=op.f("uq_shard_run_id_video_id_start_ms")),
    )
    op.create_index(op.f("ix_shard_leased_by"), "shard", ["leased_by"], unique=False)
    op.create_index("ix_shard_run_id_state", "shard", ["run_id", "state"], unique=False)
    op.create_index(op.f("ix_shard_video_id"), "shard", ["video_id"], unique=False)
    op.create_table(
        "source_video",
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("video_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_source_video_source_id")),
        sa.ForeignKeyConstraint(["video_id"], ["video.id"], name=op.f("fk_source_video_video_id")),
        sa.PrimaryKeyConstraint("source_id", "video_id", name=op.f("pk_source_video")),
    )
    op.create_index(op.f("ix_source_video_video_id"), "source_video", ["video_id"], unique=False)
    op.create_table(
        "agreement",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("frame_id", sa.BigInteger(), nullable=False),
        sa.Column("iou", sa.Float(), nullable=False, comment="of the mask unions, 0 to 1"),
        sa.Column("boundary_iou", sa.Float(), nullable=False, comment="of the mask unions, 0 to 1"),
        sa.Column("both_empty", sa.Boolean(), nullable=False, comment="no person in either: IoU 1"),
        sa.Column("is_hard", sa.Boolean(), nullable=False),
        sa.Column(
            "matches", sa.JSON(none_as_null=True), nullable=False, comment="[teacher rank, student rank, IoU]"
        ),
        sa.Column(
            "mismatches",
            sa.JSON(none_as_null=True),
            nullable=False,
            comment="[cause, teacher, student, IoU], by ranks",
        ),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_agreement_frame_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_agreement_run_id")),
        sa.PrimaryKeyConstraint("run_id", "frame_id", name=op.f("pk_agreement")),
    )
    op.create_table(
        "annotation",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="hash of project, version"
        ),
        sa.Column("frame_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False, comment="run whose masks were shown"),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False, comment="task id in Label Studio"),
        sa.Column("external_id", sa.BigInteger(), nullable=False, comment="annotation id in Label Studio"),
        sa.Column("state", sa.String(), nullable=False, comment="current, replaced or deleted"),
        sa.Column("annotator", sa.String(), nullable=False, comment="e-mail, or `user N`"),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True, comment="human work so far; null: not measured"),
        sa.Column("created_at", sa.DateTime(), nullable=False, comment="UTC"),
        sa.Column("updated_at", sa.DateTime(), nullable=False, comment="UTC; identifies the version"),
        sa.Column("note", sa.String(), nullable=False, comment="text written by the annotator"),
        sa.Column("problems", sa.JSON(none_as_null=True), nullable=False, comment="unreadable regions"),
        sa.CheckConstraint("state IN ('current', 'replaced', 'deleted')", name=op.f("ck_annotation_state")),
        sa.CheckConstraint(
            "verdict IN ('correct', 'corrected', 'unusable', 'skipped')", name=op.f("ck_annotation_verdict")
        ),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_annotation_frame_id")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["label_studio_project.id"], name=op.f("fk_annotation_project_id")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_annotation_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotation")),
    )
    op.create_index("ix_annotation_frame_id", "annotation", ["frame_id"], unique=False)
    op.create_table(
        "decision",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("frame_id", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=True, comment="filter that rejected it; null: none"),
        sa.Column("expected_iou", sa.Float(), nullable=True, comment="sort key of lists; null: not compared"),
        sa.Column("trust", sa.Float(), nullable=True, comment="probability that all masks are right"),
        sa.Column("priority", sa.Float(), nullable=True, comment="of a review, 0 to 1; null: not hard"),
        sa.Column("reasons", sa.JSON(none_as_null=True), nullable=False, comment="sentences for annotators"),
        sa.Column(
            "shot_start_ms",
            sa.BigInteger(),
            nullable=False,
            comment="start of its shot in this run; index of an image",
        ),
        sa.Column("image", sa.String(), nullable=True, comment="path below the home; null: rejected"),
        sa.Column("occupancy", sa.LargeBinary(), nullable=True, comment="16 x 16 float16; null: not hard"),
        sa.CheckConstraint(
            "decision IN ('rejected', 'easy', 'accepted', 'review')", name=op.f("ck_decision_decision")
        ),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_decision_frame_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_decision_run_id")),
        sa.PrimaryKeyConstraint("run_id", "frame_id", name=op.f("pk_decision")),
    )
    op.create_index(
        "ix_decision_run_id_decision_expected_iou",
        "decision",
        ["run_id", "decision", "expected_iou", "frame_id"],
        unique=False,
    )
    op.create_table(
        "instance",
        sa.Column(
            "id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="hash of run, frame, role, rank",
        ),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("frame_id", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False, comment="teacher or student"),
        sa.Column("rank", sa.BigInteger(), nullable=False, comment="order given by the model, from 0"),
        sa.Column(
            "rle", sa.LargeBinary(), nullable=False, comment="counts of a COCO RLE in the frame's size"
        ),
        sa.Column("detector_box_x", sa.Float(), nullable=False, comment="box from the detector, px"),
        sa.Column("detector_box_y", sa.Float(), nullable=False),
        sa.Column("detector_box_w", sa.Float(), nullable=False),
        sa.Column("detector_box_h", sa.Float(), nullable=False),
        sa.Column("area_px", sa.BigInteger(), nullable=False, comment="mask area"),
        sa.Column("mask_box_x", sa.Float(), nullable=False, comment="tight box of the mask, whole px"),
        sa.Column("mask_box_y", sa.Float(), nullable=False),
        sa.Column("mask_box_w", sa.Float(), nullable=False),
        sa.Column("mask_box_h", sa.Float(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False, comment="0 to 1"),
        sa.Column("keypoints", sa.JSON(none_as_null=True), nullable=True, comment="17 x [x, y, confidence]"),
        sa.Column("trust", sa.Float(), nullable=True, comment="probability that the mask is right"),
        sa.Column(
            "refined_by", sa.String(), nullable=True, comment="refiners that replaced the mask; null: none"
        ),
        sa.Column(
            "iou_before",
            sa.Float(),
            nullable=True,
            comment="IoU with the model's own mask; null: not refined",
        ),
        sa.CheckConstraint("role IN ('teacher', 'student')", name=op.f("ck_instance_role")),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_instance_frame_id")),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_instance_model_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_instance_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
        sa.UniqueConstraint(
            "run_id", "frame_id", "role", "rank", name=op.f("uq_instance_run_id_frame_id_role_rank")
        ),
    )
    op.create_index("ix_instance_frame_id", "instance", ["frame_id"], unique=False)
    op.create_table(
        "review",
        sa.Column("frame_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False, comment="run whose masks are shown"),
        sa.Column(
            "state",
            sa.String(),
            nullable=False,
            comment="waiting: to be sent; sending: sent, not confirmed; open: no annotation yet; reviewed: has a consensus; unresolved: annotated without a consensus; skipped: skipped by all annotators; withdrawn: no longer to be reviewed; deleted: its task was deleted in Label Studio",
        ),
        sa.Column("priority", sa.Float(), nullable=False, comment="as decided by that run; highest first"),
        sa.Column("project_id", sa.BigInteger(), nullable=True, comment="null: waiting"),
        sa.Column("task_id", sa.BigInteger(), nullable=True, comment="task id in Label Studio"),
        sa.Column("fingerprint", sa.String(), nullable=False, comment="SHA-256 of the predictions sent"),
        sa.Column("sent_at", sa.DateTime(), nullable=True, comment="UTC, last time"),
        sa.CheckConstraint(
            "state IN ('waiting', 'sending', 'open', 'reviewed', 'unresolved', 'skipped', 'withdrawn', 'deleted')",
            name=op.f("ck_review_state"),
        ),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_review_frame_id")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["label_studio_project.id"], name=op.f("fk_review_project_id")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_review_run_id")),
        sa.PrimaryKeyConstraint("frame_id", name=op.f("pk_review")),
    )
    op.create_index("ix_review_project_id_state", "review", ["project_id", "state"], unique=False)
    op.create_index(
        "ix_review_run_id_state_priority", "review", ["run_id", "state", "priority", "frame_id"], unique=False
    )
    op.create_table(
        "consensus",
        sa.Column("frame_id", sa.BigInteger(), nullable=False),
        sa.Column("annotation_id", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False, comment="correct, corrected or unusable"),
        sa.Column("rule", sa.String(), nullable=False, comment="latest or agreement"),
        sa.Column("annotators", sa.JSON(none_as_null=True), nullable=False, comment="all considered"),
        sa.Column("agreement", sa.Float(), nullable=True, comment="mean union IoU of pairs; null: no pair"),
        sa.ForeignKeyConstraint(
            ["annotation_id"], ["annotation.id"], name=op.f("fk_consensus_annotation_id")
        ),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_consensus_frame_id")),
        sa.PrimaryKeyConstraint("frame_id", name=op.f("pk_consensus")),
    )
    op.create_index(op.f("ix_consensus_annotation_id"), "consensus", ["annotation_id"], unique=False)
    op.create_table(
        "model_score",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("frame_id", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("annotation_id", sa.BigInteger(), nullable=False, comment="of the consensus"),
        sa.Column("iou", sa.Float(), nullable=False, comment="of the mask unions, 0 to 1"),
        sa.Column("boundary_iou", sa.Float(), nullable=False, comment="of the mask unions, 0 to 1"),
        sa.Column("mismatches", sa.JSON(none_as_null=True), nullable=False, comment="as in agreement"),
        sa.CheckConstraint("role IN ('teacher', 'student')", name=op.f("ck_model_score_role")),
        sa.ForeignKeyConstraint(
            ["annotation_id"], ["annotation.id"], name=op.f("fk_model_score_annotation_id")
        ),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_model_score_frame_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_model_score_run_id")),
        sa.PrimaryKeyConstraint("run_id", "frame_id", "role", name=op.f("pk_model_score")),
    )
    op.create_index("ix_model_score_frame_id", "model_score", ["frame_id"], unique=False)
    op.create_table(
        "reviewed_instance",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="hash of annotation, rank"
        ),
        sa.Column("annotation_id", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False, comment="from 0"),
        sa.Column("source_id", sa.BigInteger(), nullable=True, comment="mask shown; null: drawn by hand"),
        sa.Column("origin", sa.String(), nullable=False, comment="untouched, corrected or drawn by hand"),
        sa.Column("iou", sa.Float(), nullable=True, comment="with the mask shown; null: drawn by hand"),
        sa.Column(
            "rle", sa.LargeBinary(), nullable=False, comment="counts of a COCO RLE in the frame's size"
        ),
        sa.Column("area_px", sa.BigInteger(), nullable=False, comment="mask area"),
        sa.Column("mask_box_x", sa.Float(), nullable=False, comment="tight box of the mask, whole px"),
        sa.Column("mask_box_y", sa.Float(), nullable=False),
        sa.Column("mask_box_w", sa.Float(), nullable=False),
        sa.Column("mask_box_h", sa.Float(), nullable=False),
        sa.Column("keypoints", sa.JSON(none_as_null=True), nullable=True, comment="17 x [x, y, confidence]"),
        sa.CheckConstraint(
            "origin IN ('prediction', 'prediction-changed', 'manual')",
            name=op.f("ck_reviewed_instance_origin"),
        ),
        sa.ForeignKeyConstraint(
            ["annotation_id"], ["annotation.id"], name=op.f("fk_reviewed_instance_annotation_id")
        ),
        sa.ForeignKeyConstraint(["source_id"], ["instance.id"], name=op.f("fk_reviewed_instance_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviewed_instance")),
    )
    op.create_index(
        "ix_reviewed_instance_annotation_id", "reviewed_instance", ["annotation_id"], unique=False
    )
    op.create_index("ix_reviewed_instance_source_id", "reviewed_instance", ["source_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_reviewed_instance_source_id", table_name="reviewed_instance")
    op.drop_index("ix_reviewed_instance_annotation_id", table_name="reviewed_instance")
    op.drop_table("reviewed_instance")
    op.drop_index("ix_model_score_frame_id", table_name="model_score")
    op.drop_table("model_score")
    op.drop_index(op.f("ix_consensus_annotation_id"), table_name="consensus")
    op.drop_table("consensus")
    op.drop_index("ix_review_run_id_state_priority", table_name="review")
    op.drop_index("ix_review_project_id_state", table_name="review")
    op.drop_table("review")
    op.drop_index("ix_instance_frame_id", table_name="instance")
    op.drop_table("instance")
    op.drop_index("ix_decision_run_id_decision_expected_iou", table_name="decision")
    op.drop_table("decision")
    op.drop_index("ix_annotation_frame_id", table_name="annotation")
    op.drop_table("annotation")
    op.drop_table("agreement")
    op.drop_index(op.f("ix_source_video_video_id"), table_name="source_video")
    op.drop_table("source_video")
    op.drop_index(op.f("ix_shard_video_id"), table_name="shard")
    op.drop_index("ix_shard_run_id_state", table_name="shard")
    op.drop_index(op.f("ix_shard_leased_by"), table_name="shard")
    op.drop_table("shard")
    op.drop_table("run_source")
    op.drop_table("image")
    op.drop_index(
        "uq_frame_video_id_pts_ms",
        table_name="frame",
        sqlite_where=sa.text("image_index IS NULL"),
        postgresql_where=sa.text("image_index IS NULL"),
    )
    op.drop_index(
        "uq_frame_video_id_image_index",
        table_name="frame",
        sqlite_where=sa.text("image_index IS NOT NULL"),
        postgresql_where=sa.text("image_index IS NOT NULL"),
    )
    op.drop_index("ix_frame_video_id_image_index_pts_ms", table_name="frame")
    op.drop_table("frame")
    op.drop_table("video")
    op.drop_table("source")
    op.drop_table("run")
    op.drop_table("model")
    op.drop_table("lease")
    op.drop_table("label_studio_project")
