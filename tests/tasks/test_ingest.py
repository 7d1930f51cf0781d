"""How videos and sets of pictures are cut into shards."""

import pytest

from configs.models import Sampling
from db.ledger import ShardRange
from tasks.ingest import position_ranges, time_ranges


@pytest.mark.parametrize(
    ("duration_ms", "ranges"),
    [
        (0, [(0, None)]),
        (59_999, [(0, None)]),
        (60_000, [(0, None)]),
        (60_001, [(0, 60_000), (60_000, None)]),
        (125_000, [(0, 60_000), (60_000, 120_000), (120_000, None)]),
    ],
)
def test_a_video_is_cut_at_whole_shards_and_its_last_one_is_open(
    duration_ms: int, ranges: list[tuple[int, int | None]]
) -> None:
    assert time_ranges(duration_ms, Sampling(shard_s=60)) == [ShardRange(*r) for r in ranges]


def test_pictures_are_worked_on_in_fixed_cells() -> None:
    assert position_ranges([0, 1, 2], 4) == [ShardRange(0, 4)]
    assert position_ranges([9, 3], 4) == [ShardRange(0, 4), ShardRange(8, 12)]
    assert position_ranges([], 4) == []
