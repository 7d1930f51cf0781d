"""Tracks of a real video in shards: done in any order, and done again, the rows are the same."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.load import validate_config
from db.runs.queries import planned_shards
from db.runs.writes import upsert_run
from labeling.storage.home import Home
from tasks.execution.context import close_databases, open_context
from tasks.ingest import ingest_spec
from tasks.label import process_shard
from tests.fakes.videos import textured_scene, write_images
from tests.flows.dump import dump_rows

CONFIG = {
    "teacher": {"kind": "python", "factory": "tests.fakes.segmenters:bright"},
    "student": {"kind": "python", "factory": "tests.fakes.segmenters:bright", "options": {"dark": True}},
    "sampling": {"every_s": 0.2, "min_gap_s": 0, "shard_s": 1},
}


def draw(number: int) -> NDArray[np.uint8]:
    """Return a dark scene in which a bright person walks right."""
    image = (textured_scene(3)(0) * 0.3).astype(np.uint8)
    image[30:80, 10 + 2 * number : 30 + 2 * number] = 240
    return image


def label(video: Path, home: Home, order: Sequence[int]) -> dict[str, list[tuple[Any, ...]]]:
    """Label the shards of a video in an order; return all rows."""
    home.create()
    context, config = open_context(home), validate_config(CONFIG, "test")
    with context.database.transaction() as session:
        tree = config.model_dump(mode="json")
        upsert_run(session, config.run_id(), name="test", config=tree, code_version="test")
    ingest_spec(context, str(video), config.run_id(), config)
    with context.database.session() as session:
        shards = planned_shards(session, config.run_id())
    assert len(shards) == len(set(order))
    assert {process_shard(context, shards[position], config) for position in order} == {"done"}
    close_databases()
    return dump_rows(home.root)


@pytest.mark.slow
def test_the_order_of_shards_and_repeated_ones_change_no_row(tmp_path: Path) -> None:
    video = write_images(tmp_path / "v.mp4", map(draw, range(40)), fps=Fraction(10))
    rows = label(video, Home(tmp_path / "a"), [0, 1, 2, 3])
    assert label(video, Home(tmp_path / "b"), [3, 1, 1, 0, 2, 3]) == rows
    numbers = [row[3] for row in rows["track"]]  # the column track_id
    assert numbers == ["1"] * 4
