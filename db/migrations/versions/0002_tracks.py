"""Instances know their track.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    track_id = sa.Column("track_id", sa.BigInteger, comment="the person in this video; null: not tracked")
    with op.batch_alter_table("instance") as batch:
        batch.add_column(track_id)


def downgrade() -> None:
    with op.batch_alter_table("instance") as batch:
        batch.drop_column("track_id")
