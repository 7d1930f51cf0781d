"""Lists by the expected IoU

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INDEX = "ix_decision_run_id_decision_{}"
BEFORE = ("iou", "the agreement's, by which lists are ordered; null: none")
AFTER = (
    "expected_iou",
    "the agreement's, by which lists are ordered: see labeling.comparison.agreement; null: none",
)


def upgrade() -> None:
    """Frames of before keep the IoU, by which they were ordered."""
    _rename(BEFORE, AFTER)


def downgrade() -> None:
    _rename(AFTER, BEFORE)


def _rename(old: tuple[str, str], new: tuple[str, str]) -> None:
    """Name and comment of the column, and its index."""
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.drop_index(INDEX.format(old[0]))
        batch_op.alter_column(
            old[0],
            new_column_name=new[0],
            existing_type=sa.Float(),
            existing_comment=old[1],
            comment=new[1],
        )
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.create_index(INDEX.format(new[0]), ["run_id", "decision", new[0], "frame_id"])
