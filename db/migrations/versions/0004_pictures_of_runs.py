"""Images of runs

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "shot_start_ms",
                sa.BigInteger(),
                comment="time of the cut that began its shot, as this run cuts",
            )
        )
        batch_op.add_column(
            sa.Column(
                "image",
                sa.String(),
                comment="file below the home in this run's quality, named by its SHA-256; null: rejected",
            )
        )
    op.execute(
        "UPDATE decision SET shot_start_ms = (SELECT frame.shot_start_ms FROM frame WHERE frame.id = decision.frame_id)"
    )
    op.execute(
        "UPDATE decision SET image = (SELECT frame.image FROM frame WHERE frame.id = decision.frame_id) "
        "WHERE decision.decision <> 'rejected'"
    )
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.alter_column("shot_start_ms", existing_type=sa.BigInteger(), nullable=False)
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.drop_column("shot_start_ms")
        batch_op.drop_column("image")


def downgrade() -> None:
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("shot_start_ms", sa.BigInteger(), comment="time of the cut that began its shot")
        )
        batch_op.add_column(
            sa.Column("image", sa.String(), comment="file below the home, named by its SHA-256")
        )
    for column in ("shot_start_ms", "image"):
        op.execute(
            f"UPDATE frame SET {column} = (SELECT max(decision.{column}) FROM decision "  # noqa: S608  # our own names
            "WHERE decision.frame_id = frame.id)"
        )
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.alter_column("shot_start_ms", existing_type=sa.BigInteger(), nullable=False)
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.drop_column("image")
        batch_op.drop_column("shot_start_ms")
