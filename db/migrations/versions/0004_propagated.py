"""Masks carried from reviewed frames to others, and frames that they confirm.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BEFORE = ("waiting", "sending", "open", "reviewed", "unresolved", "skipped", "withdrawn", "deleted")
_TEXT_BEFORE = (
    "waiting: to be sent; sending: sent, not confirmed; open: no annotation yet; reviewed: has a "
    "consensus; unresolved: annotated without a consensus; skipped: skipped by all annotators; withdrawn: "
    "no longer to be reviewed; deleted: its task was deleted in Label Studio"
)
_TEXT_AFTER = f"{_TEXT_BEFORE}; confirmed: masks carried from reviewed frames agree with the teacher's, no review is required"
_SHOWN = "the carried masks that were shown; null: the teacher's"


def upgrade() -> None:
    _create_tables()
    _change_states((*_BEFORE, "confirmed"), _TEXT_AFTER)
    for table in ("review", "annotation"):
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("propagation_id", sa.BigInteger, comment=_SHOWN))


def downgrade() -> None:
    for table in ("annotation", "review"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("propagation_id")
    op.execute("UPDATE review SET state = 'withdrawn' WHERE state = 'confirmed'")
    _change_states(_BEFORE, _TEXT_BEFORE)
    op.drop_table("propagated_instance")
    op.drop_table("propagation")


def _create_tables() -> None:
    op.create_table(
        "propagation",
        sa.Column(
            "id",
            sa.BigInteger,
            nullable=False,
            autoincrement=False,
            comment="hash of run, frame, annotations",
        ),
        sa.Column("run_id", sa.String, nullable=False, comment="run whose teacher is compared"),
        sa.Column("frame_id", sa.BigInteger, nullable=False),
        sa.Column("before_id", sa.BigInteger, comment="consensus of the reviewed frame before; null: none"),
        sa.Column("after_id", sa.BigInteger, comment="of the one after"),
        sa.Column("state", sa.String, nullable=False, comment="current or replaced"),
        sa.Column("agreement", sa.Float, comment="lowest IoU with the teacher's masks; null: no person"),
        sa.Column("confidence", sa.Float, comment="lowest of a person; null: no person"),
        sa.Column(
            "unmatched",
            sa.BigInteger,
            nullable=False,
            comment="people whom only the teacher or only the reviewed frames have",
        ),
        sa.Column(
            "priority", sa.Float, nullable=False, comment="of a review, 0 to 1, instead of the decision's"
        ),
        sa.CheckConstraint("state IN ('current', 'replaced')", name="ck_propagation_state"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_propagation_run_id"),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name="fk_propagation_frame_id"),
        sa.ForeignKeyConstraint(["before_id"], ["annotation.id"], name="fk_propagation_before_id"),
        sa.ForeignKeyConstraint(["after_id"], ["annotation.id"], name="fk_propagation_after_id"),
        sa.PrimaryKeyConstraint("id", name="pk_propagation"),
    )
    op.create_index("ix_propagation_run_id_state", "propagation", ["run_id", "state"])
    op.create_index("ix_propagation_frame_id", "propagation", ["frame_id"])
    op.create_table(
        "propagated_instance",
        sa.Column(
            "id", sa.BigInteger, nullable=False, autoincrement=False, comment="hash of propagation, rank"
        ),
        sa.Column("propagation_id", sa.BigInteger, nullable=False),
        sa.Column("rank", sa.BigInteger, nullable=False, comment="from 0"),
        sa.Column("source_id", sa.BigInteger, comment="the teacher's mask of this person; null: it has none"),
        sa.Column("track_id", sa.BigInteger, comment="the person in this video; null: not tracked"),
        sa.Column("confidence", sa.Float, nullable=False, comment="0 to 1"),
        sa.Column("agreement", sa.Float, comment="IoU with the teacher's mask before both were fused"),
        sa.Column("rle", sa.LargeBinary, nullable=False, comment="counts of a COCO RLE in the frame's size"),
        sa.ForeignKeyConstraint(
            ["propagation_id"], ["propagation.id"], name="fk_propagated_instance_propagation_id"
        ),
        sa.ForeignKeyConstraint(["source_id"], ["instance.id"], name="fk_propagated_instance_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_propagated_instance"),
    )
    op.create_index("ix_propagated_instance_propagation_id", "propagated_instance", ["propagation_id"])


def _change_states(after: tuple[str, ...], comment: str) -> None:
    """Replace the check of `review.state`; copying the table drops SQLite's, which is not reflected."""
    states = ", ".join(f"'{state}'" for state in after)
    with op.batch_alter_table("review") as batch:
        if op.get_bind().dialect.name == "postgresql":
            batch.drop_constraint(op.f("ck_review_state"), type_="check")
        batch.create_check_constraint(op.f("ck_review_state"), sa.text(f"state IN ({states})"))
        batch.alter_column("state", existing_type=sa.String, existing_nullable=False, comment=comment)
