"""Dataset versions: frozen selections of frames with their labels.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dataset",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("shares", sa.JSON, nullable=False, comment="of train, val and test; they add up to 1"),
        sa.Column("seed", sa.BigInteger, nullable=False, comment="another seed divides otherwise"),
        sa.Column(
            "is_frozen",
            sa.Boolean,
            nullable=False,
            comment="an evaluation set: all is test, and it grows by whole videos only",
        ),
        sa.Column("created_at", sa.DateTime, nullable=False, comment="UTC"),
        sa.PrimaryKeyConstraint("name", name="pk_dataset"),
    )
    op.create_table(
        "image_descriptor",
        sa.Column("image", sa.String, nullable=False, comment="path below the home; named by its bytes"),
        sa.Column("method", sa.String, nullable=False, comment="name and version of the descriptor"),
        sa.Column(
            "descriptor", sa.LargeBinary, nullable=False, comment="see labeling.datasets.splits.descriptors"
        ),
        sa.PrimaryKeyConstraint("image", "method", name="pk_image_descriptor"),
    )
    op.create_table(
        "snapshot",
        sa.Column("id", sa.String, nullable=False, comment="SHA-256 of the content, 64 hex digits"),
        sa.Column("frames", sa.BigInteger, nullable=False),
        sa.Column("instances", sa.BigInteger, nullable=False),
        sa.Column("videos", sa.BigInteger, nullable=False, comment="videos and sets of images"),
        sa.PrimaryKeyConstraint("id", name="pk_snapshot"),
    )
    op.create_table(
        "dataset_version",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False, comment="from 1"),
        sa.Column("snapshot_id", sa.String, nullable=False),
        sa.Column("query", sa.JSON, nullable=False, comment="runs, decisions and conditions"),
        sa.Column(
            "runs", sa.JSON, nullable=False, comment="id, name, config and model cards by role of each run"
        ),
        sa.Column("code_version", sa.String, nullable=False, comment="of maskmill"),
        sa.Column("excluded", sa.JSON, nullable=False, comment="frames that were left out, by reason"),
        sa.Column("created_at", sa.DateTime, nullable=False, comment="UTC"),
        sa.ForeignKeyConstraint(["name"], ["dataset.name"], name="fk_dataset_version_name"),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name="fk_dataset_version_snapshot_id"),
        sa.PrimaryKeyConstraint("name", "number", name="pk_dataset_version"),
    )
    op.create_index("ix_dataset_version_snapshot_id", "dataset_version", ["snapshot_id"])
    op.create_table(
        "snapshot_video",
        sa.Column("snapshot_id", sa.String, nullable=False),
        sa.Column("video_id", sa.String, nullable=False),
        sa.Column("file_name", sa.String, nullable=False, comment="of the video or its folder"),
        sa.Column("kind", sa.String, nullable=True, comment="of its source; null: no source is recorded"),
        sa.Column("spec", sa.String, nullable=True, comment="of its source"),
        sa.Column("url", sa.String, nullable=True),
        sa.Column("title", sa.String, nullable=True),
        sa.Column("uploader", sa.String, nullable=True),
        sa.Column("license", sa.String, nullable=True, comment="as stated by the origin; null: not stated"),
        sa.Column("upload_date", sa.String, nullable=True, comment="ISO 8601 date"),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name="fk_snapshot_video_snapshot_id"),
        sa.ForeignKeyConstraint(["video_id"], ["video.id"], name="fk_snapshot_video_video_id"),
        sa.PrimaryKeyConstraint("snapshot_id", "video_id", name="pk_snapshot_video"),
    )
    op.create_table(
        "dataset_split",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("frame_id", sa.BigInteger, nullable=False),
        sa.Column("video_id", sa.String, nullable=False),
        sa.Column("split", sa.String, nullable=False, comment="train, val or test"),
        sa.CheckConstraint("split IN ('train', 'val', 'test')", name="ck_dataset_split_split"),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name="fk_dataset_split_frame_id"),
        sa.ForeignKeyConstraint(["name"], ["dataset.name"], name="fk_dataset_split_name"),
        sa.ForeignKeyConstraint(["video_id"], ["video.id"], name="fk_dataset_split_video_id"),
        sa.PrimaryKeyConstraint("name", "frame_id", name="pk_dataset_split"),
    )
    op.create_index("ix_dataset_split_name_video_id", "dataset_split", ["name", "video_id"])
    op.create_table(
        "frame_labels",
        sa.Column("id", sa.String, nullable=False, comment="SHA-256 of the content, first 32 hex digits"),
        sa.Column("frame_id", sa.BigInteger, nullable=False),
        sa.Column("image", sa.String, nullable=False, comment="path below the home; named by its bytes"),
        sa.Column("width", sa.BigInteger, nullable=False, comment="px"),
        sa.Column("height", sa.BigInteger, nullable=False, comment="px"),
        sa.Column(
            "decision", sa.String, nullable=False, comment="accepted, reviewed, confirmed, review or easy"
        ),
        sa.Column(
            "reviewer", sa.String, nullable=True, comment="whose annotation counts; null: not reviewed"
        ),
        sa.Column("propagated_from", sa.JSON, nullable=False, comment="reviewed frames that confirmed it"),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name="fk_frame_labels_frame_id"),
        sa.PrimaryKeyConstraint("id", name="pk_frame_labels"),
    )
    op.create_index("ix_frame_labels_frame_id", "frame_labels", ["frame_id"])
    op.create_index("ix_frame_labels_image", "frame_labels", ["image"])
    op.create_table(
        "label",
        sa.Column("labels_id", sa.String, nullable=False),
        sa.Column("rank", sa.BigInteger, nullable=False, comment="from 0"),
        sa.Column(
            "instance_id",
            sa.BigInteger,
            nullable=False,
            comment="as in exports: of the prediction, or of the drawn mask",
        ),
        sa.Column("rle", sa.LargeBinary, nullable=False, comment="counts of a COCO RLE in the frame's size"),
        sa.Column("area_px", sa.BigInteger, nullable=False, comment="mask area"),
        sa.Column("mask_box_x", sa.Float, nullable=False, comment="tight box of the mask, whole px"),
        sa.Column("mask_box_y", sa.Float, nullable=False),
        sa.Column("mask_box_w", sa.Float, nullable=False),
        sa.Column("mask_box_h", sa.Float, nullable=False),
        sa.Column("detector_box_x", sa.Float, nullable=False, comment="box from the detector, px"),
        sa.Column("detector_box_y", sa.Float, nullable=False),
        sa.Column("detector_box_w", sa.Float, nullable=False),
        sa.Column("detector_box_h", sa.Float, nullable=False),
        sa.Column("score", sa.Float, nullable=False, comment="0 to 1; 1: reviewed"),
        sa.Column("keypoints", sa.JSON, nullable=True, comment="17 x [x, y, confidence]"),
        sa.Column("model", sa.String, nullable=False, comment="kind:name of the model, or manual"),
        sa.Column(
            "origin",
            sa.String,
            nullable=True,
            comment="prediction, prediction-changed or manual, as in reviewed_instance; null: not reviewed",
        ),
        sa.Column("reviewer", sa.String, nullable=True),
        sa.Column(
            "refined_by", sa.String, nullable=True, comment="refiners that replaced the mask; null: none"
        ),
        sa.Column(
            "iou_before", sa.Float, nullable=True, comment="IoU with the model's own mask; null: not refined"
        ),
        sa.Column(
            "track_id", sa.BigInteger, nullable=True, comment="the person in this video; null: not tracked"
        ),
        sa.Column("category", sa.String, nullable=False, comment="of the dataset"),
        sa.ForeignKeyConstraint(["labels_id"], ["frame_labels.id"], name="fk_label_labels_id"),
        sa.PrimaryKeyConstraint("labels_id", "rank", name="pk_label"),
    )
    op.create_table(
        "snapshot_frame",
        sa.Column("snapshot_id", sa.String, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False, comment="from 0"),
        sa.Column("labels_id", sa.String, nullable=False),
        sa.ForeignKeyConstraint(["labels_id"], ["frame_labels.id"], name="fk_snapshot_frame_labels_id"),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name="fk_snapshot_frame_snapshot_id"),
        sa.PrimaryKeyConstraint("snapshot_id", "position", name="pk_snapshot_frame"),
    )
    op.create_index("ix_snapshot_frame_labels_id", "snapshot_frame", ["labels_id"])


def downgrade() -> None:
    op.drop_index("ix_snapshot_frame_labels_id", table_name="snapshot_frame")
    op.drop_table("snapshot_frame")
    op.drop_table("label")
    op.drop_index("ix_frame_labels_image", table_name="frame_labels")
    op.drop_index("ix_frame_labels_frame_id", table_name="frame_labels")
    op.drop_table("frame_labels")
    op.drop_index("ix_dataset_split_name_video_id", table_name="dataset_split")
    op.drop_table("dataset_split")
    op.drop_table("snapshot_video")
    op.drop_index("ix_dataset_version_snapshot_id", table_name="dataset_version")
    op.drop_table("dataset_version")
    op.drop_table("snapshot")
    op.drop_table("image_descriptor")
    op.drop_table("dataset")
