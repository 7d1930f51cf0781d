"""Tracks of each shard, from which those of a video are joined.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "track",
        sa.Column("shard_id", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False, comment="in the shard, from 1"),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("track_id", sa.BigInteger, comment="the person in the video, as in instance"),
        sa.Column(
            "is_given", sa.Boolean, nullable=False, comment="the segmenter gave the number; it never changes"
        ),
        sa.Column(
            "previous",
            sa.BigInteger,
            comment="number in the shard before of the track that it continues; null: a new person",
        ),
        sa.Column("first_ms", sa.BigInteger, nullable=False, comment="time of its first instance"),
        sa.Column("last_ms", sa.BigInteger, nullable=False, comment="time of its last instance"),
        sa.Column("frames", sa.BigInteger, nullable=False, comment="frames with an instance of it"),
        sa.Column("begin", sa.JSON, comment="state where it begins, near the shard's start; null: later"),
        sa.Column("end", sa.JSON, comment="state where it ends, near the shard's end; null: earlier"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_track_run_id"),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name="fk_track_shard_id"),
        sa.PrimaryKeyConstraint("shard_id", "number", name="pk_track"),
    )
    op.create_index("ix_track_run_id", "track", ["run_id"])


def downgrade() -> None:
    op.drop_index("ix_track_run_id", table_name="track")
    op.drop_table("track")
