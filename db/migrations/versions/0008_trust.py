"""Trust

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
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "trust",
                sa.Float(),
                comment="probability that a teacher's mask is right; null: no calibration",
            )
        )
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "trust",
                sa.Float(),
                comment="probability that the teacher's masks are right; null: nobody seen, or no calibration",
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.drop_column("trust")
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.drop_column("trust")
