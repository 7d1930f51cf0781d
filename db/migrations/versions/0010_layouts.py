"""Layouts

Revision ID: 0010
Revises: 0009
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from db.sql.occupancy_column import occupancy_column

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FRAMES_AT_ONCE = 500
"""SQLite before 3.32 takes 999 parameters."""

frame = sa.table("frame", *map(sa.column, ("id", "width", "height")))
decision = sa.table(
    "decision", *map(sa.column, ("run_id", "frame_id", "value")), sa.column("layout", sa.LargeBinary)
)
instance = sa.table(
    "instance", *map(sa.column, ("run_id", "frame_id", "role", "rank", "area_px", "x", "y", "w", "h"))
)


def upgrade() -> None:
    comment = "where people are, 16 x 16 float16: see labeling.review.occupancy; null: not hard"
    op.add_column("decision", sa.Column("layout", sa.LargeBinary(), comment=comment))
    for hard in _hard_frames():
        for run_id in {row.run_id for row in hard}:
            _draw(run_id, {row.frame_id: (row.width, row.height) for row in hard if row.run_id == run_id})


def _hard_frames() -> Iterator[Sequence[sa.Row[Any]]]:
    wanted = (
        sa.select(decision.c.run_id, decision.c.frame_id, frame.c.width, frame.c.height)
        .join(frame, frame.c.id == decision.c.frame_id)
        .where(decision.c.value.is_not(None))
        .order_by(decision.c.run_id, decision.c.frame_id)
    )
    after = sa.tuple_(decision.c.run_id, decision.c.frame_id) > sa.tuple_(
        sa.bindparam("run", type_=sa.String), sa.bindparam("frame", type_=sa.BigInteger)
    )
    last = {"run": "", "frame": 0}
    while page := op.get_bind().execute(wanted.where(after).limit(FRAMES_AT_ONCE), last).all():
        yield page
        last = {"run": page[-1].run_id, "frame": page[-1].frame_id}


def _draw(run_id: str, sizes_wh: dict[int, tuple[int, int]]) -> None:
    of_run = sa.select(instance).where(instance.c.run_id == run_id, instance.c.frame_id.in_(sizes_wh))
    in_order = of_run.order_by(instance.c.frame_id, instance.c.role.desc(), instance.c.rank)
    people = [row._asdict() for row in op.get_bind().execute(in_order)]
    layouts = occupancy_column(sizes_wh, people)
    op.get_bind().execute(
        sa.update(decision)
        .where(decision.c.run_id == run_id, decision.c.frame_id == sa.bindparam("key"))
        .values(layout=sa.bindparam("drawn", type_=sa.LargeBinary)),
        [{"key": frame_id, "drawn": packed} for frame_id, packed in layouts.items()],
    )


def downgrade() -> None:
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.drop_column("layout")
