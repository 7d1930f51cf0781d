"""Students: networks that were trained here, and which of them was in use when.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "student",
        sa.Column("id", sa.String, nullable=False, comment="SHA-256 of network.onnx, 64 hex digits"),
        sa.Column("folder", sa.String, nullable=False, comment="path below the home of its files"),
        sa.Column("int8_sha256", sa.String, nullable=False, comment="of network_int8.onnx"),
        sa.Column("block", sa.JSON, nullable=False, comment="config of network.onnx, without its path"),
        sa.Column(
            "dataset", sa.String, nullable=False, comment="version that it was trained on, NAME@NUMBER"
        ),
        sa.Column(
            "snapshot_id", sa.String, nullable=False, comment="content of that version, which may be deleted"
        ),
        sa.Column("training", sa.JSON, nullable=False, comment="what repeats it; see training.json"),
        sa.Column("metrics", sa.JSON, nullable=False, comment="see labeling.students.scores"),
        sa.Column("created_at", sa.DateTime, nullable=False, comment="UTC"),
        sa.Column("created_by", sa.String, nullable=False, comment="user of the system"),
        sa.PrimaryKeyConstraint("id", name="pk_student"),
    )
    op.create_table(
        "student_promotion",
        sa.Column("number", sa.BigInteger, nullable=False, comment="from 1"),
        sa.Column("student_id", sa.String, nullable=False, comment="in use from now on"),
        sa.Column("action", sa.String, nullable=False, comment="promote or rollback"),
        sa.Column("comparison", sa.JSON, nullable=True, comment="with the one before; null: a rollback"),
        sa.Column(
            "refusals", sa.JSON, nullable=False, comment="sentences that a person overruled; empty: none"
        ),
        sa.Column(
            "reason", sa.String, nullable=True, comment="why they were overruled, or why it was rolled back"
        ),
        sa.Column("made_at", sa.DateTime, nullable=False, comment="UTC"),
        sa.Column(
            "made_by", sa.String, nullable=False, comment="user of the system, or who approved the flow run"
        ),
        sa.CheckConstraint("action IN ('promote', 'rollback')", name="ck_student_promotion_action"),
        sa.ForeignKeyConstraint(["student_id"], ["student.id"], name="fk_student_promotion_student_id"),
        sa.PrimaryKeyConstraint("number", name="pk_student_promotion"),
    )
    op.create_index("ix_student_promotion_student_id", "student_promotion", ["student_id"])


def downgrade() -> None:
    op.drop_index("ix_student_promotion_student_id", table_name="student_promotion")
    op.drop_table("student_promotion")
    op.drop_table("student")
