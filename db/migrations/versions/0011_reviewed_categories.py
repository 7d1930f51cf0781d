"""Categories of reviewed instances, and of those carried to other frames.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COMMENTS = {
    "reviewed_instance": "of the dataset, as the annotator chose it",
    "propagated_instance": "of the dataset, as in the reviewed frame",
}


def upgrade() -> None:
    for table, comment in _COMMENTS.items():
        with op.batch_alter_table(table) as batch:
            batch.add_column(
                sa.Column("category", sa.String, nullable=False, server_default="person", comment=comment)
            )


def downgrade() -> None:
    for table in _COMMENTS:
        with op.batch_alter_table(table) as batch:
            batch.drop_column("category")
