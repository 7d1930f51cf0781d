"""What sources hold and was not looked at; gaps of videos, and the levels of 16-bit images.

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
        "passed_over",
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("given", sa.String, nullable=False, comment="source as it was given to the run"),
        sa.Column("spec", sa.String, nullable=False, comment="folder, list, archive or video that has them"),
        sa.Column("reason", sa.String, nullable=False, comment="what they are, and what to do"),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("examples", sa.JSON(none_as_null=True), nullable=False, comment="names of the first ones"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_passed_over_run_id"),
        sa.PrimaryKeyConstraint("run_id", "given", "spec", "reason", name="pk_passed_over"),
    )
    with op.batch_alter_table("video") as batch:
        batch.add_column(
            sa.Column(
                "gaps",
                sa.JSON(none_as_null=True),
                comment="[start, end] in ms of stretches without frames; null: none",
            )
        )
        batch.add_column(
            sa.Column("black_level", sa.BigInteger, comment="of 16-bit images, shown as black; null: 8 bits")
        )
        batch.add_column(sa.Column("white_level", sa.BigInteger, comment="of 16-bit images, shown as white"))


def downgrade() -> None:
    with op.batch_alter_table("video") as batch:
        batch.drop_column("white_level")
        batch.drop_column("black_level")
        batch.drop_column("gaps")
    op.drop_table("passed_over")
