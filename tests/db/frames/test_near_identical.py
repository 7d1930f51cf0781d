"""Hard frames that repeat the one before."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.frames.near_identical import count_near_identical
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of
from tests.planted_reviews import PlantedFrame, box_mask, plant_run


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    yield Home(tmp_path / "home")
    close_databases()


@pytest.mark.parametrize(
    ("columns", "shots", "expected"),
    [
        ([10, 10, 10, 90, 90, 10], [0] * 6, 3),  # the last one is where the first was, but something lay between
        ([10, 10, 10], [0, 500, 1000], 0),  # each a shot of its own
        ([10, 11, 12, 13, 14, 15, 16, 17, 18], [0] * 9, 6),  # from 3 px on they differ: of 10, 13 and 16, not of the one before
        ([10], [0], 0),
    ],
)  # fmt: skip
def test_frames_with_people_in_the_same_places_are_counted(
    home: Home, columns: list[int], shots: list[int], expected: int
) -> None:
    frames = [
        PlantedFrame([box_mask(x, 10, 40, 80)], shot=shot) for x, shot in zip(columns, shots, strict=True)
    ]
    run = plant_run(home, frames)
    with database_of(home).session() as session:
        assert count_near_identical(session, run.id) == expected


def test_easy_frames_do_not_count(home: Home) -> None:
    mask = box_mask(10, 10, 40, 80)
    run = plant_run(home, [PlantedFrame([mask], [mask], decision="easy", shot=0)] * 3)
    with database_of(home).session() as session:
        assert count_near_identical(session, run.id) == 0
