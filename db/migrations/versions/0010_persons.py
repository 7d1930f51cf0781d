"""A decision of its own for each of the teacher's persons, and what a frame's decision follows from.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("instance") as batch:
        batch.add_column(
            sa.Column(
                "decision",
                sa.String,
                comment="accepted, review or ignored; null: not decided for itself",
            )
        )
        batch.create_check_constraint("decision", "decision IN ('accepted', 'review', 'ignored')")
    with op.batch_alter_table("decision") as batch:
        batch.add_column(
            sa.Column("found", sa.Float, comment="probability that every person is found; null: not known")
        )
        batch.add_column(
            sa.Column(
                "accepted_people",
                sa.BigInteger,
                comment="persons accepted in a frame in which every person is found; null: not decided by person",
            )
        )
        batch.add_column(
            sa.Column(
                "doubtful_people",
                sa.BigInteger,
                comment="persons that are not accepted; null: not decided by person",
            )
        )
    with op.batch_alter_table("review") as batch:
        batch.add_column(
            sa.Column(
                "is_audit",
                sa.Boolean,
                nullable=False,
                server_default=sa.false(),
                comment="has an accepted person of its run's audit; it is reviewed like others",
            )
        )
    op.create_index(
        "ix_review_run_id_of_audit",
        "review",
        ["run_id"],
        sqlite_where=sa.text("is_audit = 1"),
        postgresql_where=sa.text("is_audit"),
    )


def downgrade() -> None:
    op.drop_index("ix_review_run_id_of_audit", "review")
    with op.batch_alter_table("review") as batch:
        batch.drop_column("is_audit")
    with op.batch_alter_table("decision") as batch:
        batch.drop_column("doubtful_people")
        batch.drop_column("accepted_people")
        batch.drop_column("found")
    with op.batch_alter_table("instance") as batch:
        batch.drop_constraint("decision", type_="check")
        batch.drop_column("decision")
