"""What the ledger keeps of where people are in a hard frame, for the choice of frames for review."""

from collections.abc import Iterable, Mapping
from typing import Any

from labeling.review.occupancy import STUDENT_WEIGHT, occupancy_grids, pack_grid

_WEIGHTS = {"teacher": 1.0, "student": STUDENT_WEIGHT}


def occupancy_column(
    sizes_wh: Mapping[int, tuple[int, int]], instances: Iterable[Mapping[str, Any]]
) -> dict[int, bytes]:
    """The column `layout` of frames, by id, from rows of `instance`; those of other frames are passed over."""
    position = {frame_id: i for i, frame_id in enumerate(sizes_wh)}
    people = [row for row in instances if row["frame_id"] in position]
    grids = occupancy_grids(
        [[row[side] for side in "xywh"] for row in people],
        [row["area_px"] * _WEIGHTS[row["role"]] for row in people],
        [sizes_wh[row["frame_id"]] for row in people],
        [position[row["frame_id"]] for row in people],
        frames=len(position),
    )
    return {frame_id: pack_grid(grids[i]) for frame_id, i in position.items()}
