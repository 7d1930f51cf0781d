"""Categories of instances, and the agreement of each.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("instance") as batch:
        batch.add_column(
            sa.Column(
                "category", sa.String, nullable=False, server_default="person", comment="of the dataset"
            )
        )
    with op.batch_alter_table("agreement") as batch:
        batch.add_column(
            sa.Column(
                "category_ious",
                sa.JSON(none_as_null=True),
                comment="[category, IoU]; iou is the lowest; null: only people",
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("agreement") as batch:
        batch.drop_column("category_ious")
    with op.batch_alter_table("instance") as batch:
        batch.drop_column("category")
