"""Claims

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "execution",
        sa.Column("id", sa.String(), nullable=False, comment="Prefect's id of the flow run"),
        sa.Column("flow", sa.String(), nullable=False, comment="what it does"),
        sa.Column("place", sa.String(), nullable=False, comment="host and process"),
        sa.Column("began_at", sa.DateTime(), nullable=False, comment="UTC, the database's clock"),
        sa.Column(
            "seen_at", sa.DateTime(), nullable=False, comment="UTC, last sign of life, the database's clock"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution")),
    )
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.add_column(sa.Column("planned_at", sa.DateTime(), comment="UTC; first come, first served"))
        batch_op.add_column(sa.Column("claimed_by", sa.String(), comment="who works on it; null: nobody"))
        batch_op.add_column(
            sa.Column(
                "deaths",
                sa.BigInteger(),
                server_default="0",
                nullable=False,
                comment="times that whoever worked on it died",
            )
        )
        batch_op.create_foreign_key(batch_op.f("fk_shard_claimed_by"), "execution", ["claimed_by"], ["id"])
        batch_op.create_index(batch_op.f("ix_shard_claimed_by"), ["claimed_by"])
    op.execute("UPDATE shard SET planned_at = (SELECT run.started_at FROM run WHERE run.id = shard.run_id)")
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.alter_column("planned_at", existing_type=sa.DateTime(), nullable=False)
        batch_op.alter_column("deaths", existing_type=sa.BigInteger(), server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shard_claimed_by"))
        batch_op.drop_constraint(batch_op.f("fk_shard_claimed_by"), type_="foreignkey")
        batch_op.drop_column("deaths")
        batch_op.drop_column("claimed_by")
        batch_op.drop_column("planned_at")
    op.drop_table("execution")
