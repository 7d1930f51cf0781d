"""Lists of a million

Revision ID: 0006
Revises: 0005
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BINS = 20
NO_TALLY = {"bins": [0] * BINS, "both_empty": 0, "causes": {}}

agreement = sa.table(
    "agreement",
    sa.column("run_id", sa.String),
    sa.column("iou", sa.Float),
    sa.column("both_empty", sa.Boolean),
    sa.column("is_hard", sa.Boolean),
    sa.column("mismatches", sa.JSON),
)
shard = sa.table(
    "shard",
    sa.column("id", sa.BigInteger),
    sa.column("run_id", sa.String),
    sa.column("state", sa.String),
    sa.column("tally", sa.JSON),
)


def upgrade() -> None:
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("iou", sa.Float(), comment="the agreement's, by which lists are ordered; null: none")
        )
        batch_op.drop_index("ix_decision_run_id_decision")
        batch_op.create_index("ix_decision_run_id_decision_iou", ["run_id", "decision", "iou", "frame_id"])
    op.execute(
        "UPDATE decision SET iou = (SELECT agreement.iou FROM agreement "
        "WHERE agreement.run_id = decision.run_id AND agreement.frame_id = decision.frame_id)"
    )
    with op.batch_alter_table("agreement", schema=None) as batch_op:
        batch_op.drop_index("ix_agreement_run_id_iou")
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.drop_index("ix_review_state_iou")
        batch_op.drop_index("ix_review_project_id")
        batch_op.drop_index("ix_review_run_id")
        batch_op.create_index("ix_review_run_id_state_iou", ["run_id", "state", "iou", "frame_id"])
        batch_op.create_index("ix_review_project_id_state", ["project_id", "state"])
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "tally",
                sa.JSON(),
                nullable=False,
                server_default="{}",
                comment="its frames by agreement and by cause: see db.frames.histograms; empty: not done",
            )
        )
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.alter_column("tally", existing_type=sa.JSON(), server_default=None)
    _tally_runs(op.get_bind())


def _tally_runs(connection: sa.Connection) -> None:
    """A run's tallies are only ever added up: what was there before is told by one of its shards."""
    columns = (agreement.c.run_id, agreement.c.iou, agreement.c.both_empty, agreement.c.is_hard)
    tallies: dict[str, dict[str, Any]] = {}
    for run_id, iou, both_empty, is_hard, mismatches in connection.execute(
        sa.select(*columns, agreement.c.mismatches)
    ):
        if run_id not in tallies:
            tallies[run_id] = NO_TALLY | {"bins": [0] * BINS, "causes": {}}
        tally = tallies[run_id]
        if both_empty:
            tally["both_empty"] += 1
        else:
            tally["bins"][min(int(iou * BINS), BINS - 1)] += 1
        for cause, *_ in mismatches if is_hard else ():
            tally["causes"][cause] = tally["causes"].get(cause, 0) + 1
    first = sa.select(shard.c.run_id, sa.func.min(shard.c.id)).where(shard.c.state == "done")
    for run_id, shard_id in connection.execute(first.group_by(shard.c.run_id)).all():
        tally = tallies.get(run_id, NO_TALLY)
        connection.execute(sa.update(shard).where(shard.c.id == shard_id).values(tally=tally))


def downgrade() -> None:
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.drop_column("tally")
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.drop_index("ix_review_run_id_state_iou")
        batch_op.drop_index("ix_review_project_id_state")
        batch_op.create_index("ix_review_state_iou", ["state", "iou"])
        batch_op.create_index("ix_review_project_id", ["project_id"])
        batch_op.create_index("ix_review_run_id", ["run_id"])
    with op.batch_alter_table("agreement", schema=None) as batch_op:
        batch_op.create_index("ix_agreement_run_id_iou", ["run_id", "iou"])
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.drop_index("ix_decision_run_id_decision_iou")
        batch_op.create_index("ix_decision_run_id_decision", ["run_id", "decision"])
        batch_op.drop_column("iou")
