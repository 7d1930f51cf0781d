"""Sources and their videos

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
        "source_video",
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("video_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_source_video_source_id")),
        sa.ForeignKeyConstraint(["video_id"], ["video.id"], name=op.f("fk_source_video_video_id")),
        sa.PrimaryKeyConstraint("source_id", "video_id", name=op.f("pk_source_video")),
    )
    op.create_index(op.f("ix_source_video_video_id"), "source_video", ["video_id"], unique=False)
    op.execute("INSERT INTO source_video SELECT id, video_id FROM source WHERE video_id IS NOT NULL")

    with op.batch_alter_table("run_source", schema=None) as batch_op:
        batch_op.add_column(sa.Column("state", sa.String(), comment="ok or failed, the last time"))
        batch_op.add_column(sa.Column("error_code", sa.String(), comment="word of labeling.errors"))
        batch_op.add_column(sa.Column("error_message", sa.String(), comment="what happened and what to do"))
        batch_op.add_column(sa.Column("retryable", sa.Boolean(), comment="may the same call succeed later"))
    for column in ("state", "error_code", "error_message", "retryable"):
        op.execute(
            f"UPDATE run_source SET {column} = "  # noqa: S608  # our own names
            f"(SELECT source.{column} FROM source WHERE source.id = run_source.source_id)"
        )
    with op.batch_alter_table("run_source", schema=None) as batch_op:
        batch_op.alter_column("state", existing_type=sa.String(), nullable=False)
        batch_op.alter_column("retryable", existing_type=sa.Boolean(), nullable=False)
        batch_op.create_check_constraint(op.f("ck_run_source_state"), "state IN ('ok', 'failed')")

    with op.batch_alter_table("source", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_source_video_id"))
        batch_op.drop_constraint(batch_op.f("fk_source_video_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("ck_source_state"), type_="check")
        for column in ("video_id", "state", "error_code", "error_message", "retryable"):
            batch_op.drop_column(column)


def downgrade() -> None:
    with op.batch_alter_table("source", schema=None) as batch_op:
        batch_op.add_column(sa.Column("video_id", sa.String()))
        batch_op.add_column(sa.Column("state", sa.String(), comment="ok or failed"))
        batch_op.add_column(sa.Column("error_code", sa.String(), comment="word of labeling.errors"))
        batch_op.add_column(sa.Column("error_message", sa.String(), comment="what happened and what to do"))
        batch_op.add_column(sa.Column("retryable", sa.Boolean(), comment="may the same call succeed later"))
    op.execute(
        "UPDATE source SET video_id = "
        "(SELECT min(video_id) FROM source_video WHERE source_video.source_id = source.id)"
    )
    for column in ("state", "error_code", "error_message", "retryable"):
        op.execute(
            f"UPDATE source SET {column} = (SELECT {column} FROM run_source "  # noqa: S608  # our own names
            "WHERE run_source.source_id = source.id ORDER BY state DESC, run_id LIMIT 1)"
        )
    with op.batch_alter_table("source", schema=None) as batch_op:
        batch_op.alter_column("state", existing_type=sa.String(), nullable=False)
        batch_op.alter_column("retryable", existing_type=sa.Boolean(), nullable=False)
        batch_op.create_check_constraint(op.f("ck_source_state"), "state IN ('ok', 'failed')")
        batch_op.create_foreign_key(batch_op.f("fk_source_video_id"), "video", ["video_id"], ["id"])
        batch_op.create_index(batch_op.f("ix_source_video_id"), ["video_id"], unique=False)

    with op.batch_alter_table("run_source", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_run_source_state"), type_="check")
        for column in ("state", "error_code", "error_message", "retryable"):
            batch_op.drop_column(column)
    op.drop_table("source_video")
