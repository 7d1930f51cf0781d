"""Tight boxes of masks

Revision ID: 0009
Revises: 0008
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from pycocotools import mask as coco_mask

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("instance", "reviewed_instance")
SIDES = ("tight_x", "tight_y", "tight_w", "tight_h")
FRAMES_AT_ONCE = 500
"""SQLite before 3.32 takes 999 parameters."""

frame = sa.table("frame", *map(sa.column, ("id", "video_id", "t_ms", "height", "width")))
annotation = sa.table("annotation", *map(sa.column, ("id", "frame_id")))
instance = sa.table("instance", *map(sa.column, ("id", "frame_id", *SIDES)), sa.column("rle", sa.LargeBinary))
reviewed_instance = sa.table(
    "reviewed_instance", *map(sa.column, ("id", "annotation_id", *SIDES)), sa.column("rle", sa.LargeBinary)
)


def upgrade() -> None:
    for table in TABLES:
        for side in SIDES:  # a column with a default is added without a copy of the table
            comment = "tight box of the mask, whole px" if side == "tight_x" else None
            op.add_column(
                table, sa.Column(side, sa.Float(), nullable=False, server_default="0", comment=comment)
            )
    seen = sa.select(instance.c.id, instance.c.frame_id, instance.c.rle)
    said = sa.select(reviewed_instance.c.id, annotation.c.frame_id, reviewed_instance.c.rle).join(
        annotation, annotation.c.id == reviewed_instance.c.annotation_id
    )
    for sizes in _sizes_of_frames():
        _measure(instance, seen.where(instance.c.frame_id.in_(sizes)), sizes)
        _measure(reviewed_instance, said.where(annotation.c.frame_id.in_(sizes)), sizes)


def _sizes_of_frames() -> Iterator[dict[int, list[int]]]:
    """Height and width by id, in the order in which frames were stored, and their masks with them."""
    wanted = sa.select(frame).where(frame.c.height.is_not(None)).order_by(frame.c.video_id, frame.c.t_ms)
    after = sa.tuple_(frame.c.video_id, frame.c.t_ms) > sa.tuple_(
        sa.bindparam("video", type_=sa.String), sa.bindparam("t", type_=sa.BigInteger)
    )
    last = {"video": "", "t": 0}
    while page := op.get_bind().execute(wanted.where(after).limit(FRAMES_AT_ONCE), last).all():
        yield {row.id: [row.height, row.width] for row in page}
        last = {"video": page[-1].video_id, "t": page[-1].t_ms}


def _measure(
    table: sa.TableClause, masks: sa.Select[tuple[int, int, bytes]], sizes: dict[int, list[int]]
) -> None:
    rows = op.get_bind().execute(masks).all()
    if not rows:
        return
    boxes = coco_mask.toBbox([{"size": sizes[frame_id], "counts": rle} for _, frame_id, rle in rows]).tolist()
    changes: dict[str, Any] = {side: sa.bindparam(f"new_{side}") for side in SIDES}
    op.get_bind().execute(
        sa.update(table).where(table.c.id == sa.bindparam("key")).values(changes),
        [
            {"key": key} | {f"new_{side}": value for side, value in zip(SIDES, box, strict=True)}
            for (key, *_), box in zip(rows, boxes, strict=True)
        ],
    )


def downgrade() -> None:
    for table in TABLES:
        with op.batch_alter_table(table, schema=None) as batch_op:
            for side in SIDES:
                batch_op.drop_column(side)
