"""Label Studio's star of an annotation.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("annotation") as batch:
        batch.add_column(
            sa.Column(
                "is_starred",
                sa.Boolean,
                nullable=False,
                server_default=sa.false(),
                comment="Label Studio's ground_truth: it counts before others; may change",
            )
        )
    with op.batch_alter_table("consensus") as batch:
        batch.alter_column("rule", comment="latest, agreement or starred", existing_type=sa.String)


def downgrade() -> None:
    with op.batch_alter_table("consensus") as batch:
        batch.alter_column("rule", comment="latest or agreement", existing_type=sa.String)
    with op.batch_alter_table("annotation") as batch:
        batch.drop_column("is_starred")
