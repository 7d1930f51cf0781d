"""Hard frames that show nearly the same as the one before: people in the same places."""

from itertools import groupby

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models.core import DecisionRow, FrameRow
from db.sql.reading import PAGE
from labeling.review.occupancy import occupancy_distances, stack_grids, unpack_grid
from labeling.review.queue import NEAR_IDENTICAL


def count_near_identical(session: Session, run_id: str) -> int:
    """Count the hard frames of a run that are near-identical to the last frame of their shot that was not.

    It is the measure by which the review queue skips frames, in order of time instead of priority. An image without a
    time is a shot of its own.
    """
    query = (
        select(FrameRow.video_id, DecisionRow.shot_start_ms, DecisionRow.occupancy)
        .join(FrameRow, FrameRow.id == DecisionRow.frame_id)
        .where(DecisionRow.run_id == run_id, DecisionRow.occupancy.is_not(None))
        .order_by(FrameRow.video_id, DecisionRow.shot_start_ms, func.coalesce(FrameRow.pts_ms, 0))
        .execution_options(yield_per=PAGE)
    )
    count = 0
    with session.execute(query) as rows:
        for _, shot in groupby(rows.tuples(), key=lambda row: row[:2]):
            grids = (unpack_grid(row[2]) for row in shot if row[2] is not None)
            last = next(grids)
            for grid in grids:
                if occupancy_distances(grid, stack_grids([last]))[0] < NEAR_IDENTICAL:
                    count += 1
                else:
                    last = grid
    return count
