"""Value of a look

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Half of the pixels that only one of teacher and student has: nobody noted how far the teacher was trusted.
# They follow from areas and IoU: with S the sum of both unions, IoU = common / (S - common), and so
# S - 2 common = S (1 - IoU) / (1 + IoU). Exact where people do not overlap; at most all pixels.
VALUES = """
UPDATE decision SET value = COALESCE((
    SELECT 0.5 * (1 - decision.iou) / (1 + decision.iou) * SUM(instance.area_px / (1.0 * frame.width * frame.height))
    FROM instance JOIN frame ON frame.id = instance.frame_id
    WHERE instance.run_id = decision.run_id AND instance.frame_id = decision.frame_id
), 0) WHERE decision IN ('accepted', 'review')
"""
VALUES_OF_REVIEWS = """
UPDATE review SET value = COALESCE((
    SELECT decision.value FROM decision
    WHERE decision.run_id = review.run_id AND decision.frame_id = review.frame_id
), 0)
"""
IOUS_OF_REVIEWS = """
UPDATE review SET iou = COALESCE((
    SELECT decision.iou FROM decision
    WHERE decision.run_id = review.run_id AND decision.frame_id = review.frame_id
), 0)
"""


def upgrade() -> None:
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "value",
                sa.Float(),
                comment="what a person's look is worth, 0 to 1: see labeling.review.queue; null: not hard",
            )
        )
    op.execute(VALUES)
    op.execute("UPDATE decision SET value = 0.5 WHERE value > 0.5")
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.drop_index("ix_review_run_id_state_iou")
        batch_op.drop_column("iou")
        batch_op.add_column(
            sa.Column("value", sa.Float(), comment="of a look, as that run decided: highest first")
        )
    op.execute(VALUES_OF_REVIEWS)
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.alter_column("value", existing_type=sa.Float(), nullable=False)
        batch_op.create_index("ix_review_run_id_state_value", ["run_id", "state", "value", "frame_id"])


def downgrade() -> None:
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.drop_index("ix_review_run_id_state_value")
        batch_op.drop_column("value")
        batch_op.add_column(sa.Column("iou", sa.Float(), comment="agreement in that run: lowest first"))
    op.execute(IOUS_OF_REVIEWS)
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.alter_column("iou", existing_type=sa.Float(), nullable=False)
        batch_op.create_index("ix_review_run_id_state_iou", ["run_id", "state", "iou", "frame_id"])
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.drop_column("value")
