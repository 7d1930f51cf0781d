"""Frames of one video, source or place are never in two splits, and never move."""

import cv2
import numpy as np
import pytest
from sqlalchemy import delete

from configs.errors import ConfigError
from db.datasets.queries import find_version, version_frames
from db.models.datasets import ImageDescriptorRow
from labeling.datasets.records import DatasetFrame
from labeling.datasets.splits.assignment import Division, parse_shares
from labeling.datasets.versions.query import parse_query
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage
from tasks.datasets.create import CreatedDataset, create_dataset
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import database_of, open_context
from tests.tasks.datasets.planting import PlantedVideo, plant, scene

HALVES = Division((0.5, 0.0, 0.5))


def create(home: Home, name: str = "night", **order: object) -> CreatedDataset:
    return create_dataset(open_context(home), DatasetOrder(name, **{"division": HALVES, **order}))  # type: ignore[arg-type]  # its fields


def frames_of(home: Home, version: str = "night") -> list[DatasetFrame]:
    with database_of(home).session() as session:
        return list(version_frames(session, find_version(session, version), home))


def splits(home: Home, version: str = "night") -> dict[str, set[str | None]]:
    """Return the splits of each video, by its name."""
    found: dict[str, set[str | None]] = {}
    for frame in frames_of(home, version):
        found.setdefault((frame.title or "").removesuffix(".mp4"), set()).add(frame.split)
    return found


def by_frame(home: Home, version: str = "night") -> dict[int, str | None]:
    return {frame.id: frame.split for frame in frames_of(home, version)}


def cropped(image: RgbImage) -> RgbImage:
    height, width = image.shape[:2]
    part = image[: round(height * 0.95), : round(width * 0.95)]
    return np.asarray(cv2.resize(part, (width, height)), dtype=np.uint8)


def copy_of(name: str, change: object) -> PlantedVideo:
    """A video with another name whose frames are those of `name`, changed."""
    images = tuple(change(scene(name, number)) for number in range(3))  # type: ignore[operator]  # a function
    return PlantedVideo(f"copy-{name}", images=images)


@pytest.mark.slow
def test_videos_of_a_source_and_near_duplicates_are_in_one_split(home: Home) -> None:
    own = [PlantedVideo(f"v{number}") for number in range(8)]
    of_ann = [PlantedVideo(f"ann{number}", uploader="Ann" if number else "ann") for number in range(4)]
    copies = [
        copy_of("v0", cropped),
        copy_of("v1", lambda image: np.ascontiguousarray(image[:, ::-1])),
        copy_of("v2", lambda image: np.ascontiguousarray(cropped(image)[:, ::-1])),
    ]
    plant(home, [*own, *of_ann, *copies])
    made = create(home)
    found = splits(home)
    assert made.groups == 8 + 1
    assert all(len(one) == 1 for one in found.values())
    assert set().union(*(found[f"ann{number}"] for number in range(4))) == found["ann0"]
    assert all(found[f"copy-v{number}"] == found[f"v{number}"] for number in range(3))
    assert set().union(*found.values()) == {"train", "test"}


@pytest.mark.slow
def test_no_frame_moves_when_a_dataset_grows(home: Home) -> None:
    plant(home, [PlantedVideo(f"v{number}") for number in range(6)])
    create(home)
    before = by_frame(home)
    grown = [PlantedVideo(f"v{number}", frames=4) for number in range(6)]
    run_id = plant(home, [*grown, *(PlantedVideo(f"w{number}") for number in range(6))], hard_iou=0.6)
    made = create(home, query=parse_query((run_id,), ("accepted",), ()))
    after = by_frame(home)
    assert made.version.number == 2
    assert len(after) == 6 * 4 + 6 * 3
    assert {key: after[key] for key in before} == before
    assert all(len(one) == 1 for one in splits(home).values())


@pytest.mark.slow
def test_test_has_each_size_and_cause_if_train_can_spare_a_video_and_keeps_them(home: Home) -> None:
    names = [f"v{number}" for number in range(8)]
    division = Division((0.8, 0.0, 0.2), seed=_seed_of_train(names))
    run_id = plant(
        home, [PlantedVideo(one, person_wh=(6, 8) if one in names[:2] else (30, 60)) for one in names]
    )
    made = create(home, division=division)
    before, tested = by_frame(home), {name for name, one in splits(home).items() if one == {"test"}}
    assert made.untested == []
    assert len(tested) == 2
    assert len(tested & set(names[:2])) == 1
    more = plant(home, [PlantedVideo(f"w{number}", person_wh=(14, 20)) for number in range(2)], hard_iou=0.6)
    grown = create(home, division=division, query=parse_query((run_id, more), ("accepted",), ()))
    after = by_frame(home)
    assert {key: after[key] for key in before} == before
    assert grown.untested == []
    assert (
        create(home, division=division, query=parse_query((run_id, more), ("accepted",), ())).is_new is False
    )


def _seed_of_train(names: list[str]) -> int:
    """Return a seed by which the hash gives all of these videos, and w0 and w1, to train."""
    ids = [PlantedVideo(one).id for one in (*names, "w0", "w1")]
    return next(
        seed
        for seed in range(999)
        if all(Division((0.8, 0.0, 0.2), seed).split_of(one) == "train" for one in ids)
    )


@pytest.mark.slow
def test_new_videos_between_two_splits_are_left_out(home: Home) -> None:
    plant(home, [PlantedVideo(f"v{number}") for number in range(10)])
    create(home)
    before = splits(home)
    trained, tested = (next(n for n, one in before.items() if one == {s}) for s in ("train", "test"))
    bridge = PlantedVideo("bridge", 2, images=(scene(trained, 0), scene(tested, 1)))
    follower = PlantedVideo("follower", 2, images=(scene(trained, 1), scene("other", 1)))
    grown = PlantedVideo(trained, 4, images=(*(scene(trained, n) for n in range(3)), scene(tested, 2)))
    run_id = plant(home, [bridge, follower, grown], hard_iou=0.6)
    made = create(home, query=parse_query((run_id,), ("accepted",), ()))
    assert made.excluded == {
        "near or of the group of frames of test and train": 2,
        "of a known video, and near frames of another split or set": 1,
    }
    assert splits(home) == {trained: {"train"}, "follower": {"train"}}


@pytest.mark.slow
def test_a_frozen_set_grows_by_whole_videos_and_no_other_dataset_takes_from_it(home: Home) -> None:
    first = plant(home, [PlantedVideo("v0"), PlantedVideo("v1", uploader="ann")])
    create(home, "eval", is_frozen=True)
    before = by_frame(home, "eval")
    assert set(before.values()) == {"test"}
    videos = [PlantedVideo("v0", frames=5), PlantedVideo("v2"), PlantedVideo("v3", uploader="ann")]
    second = plant(home, [*videos, copy_of("v1", cropped)], hard_iou=0.6)
    made = create(home, query=parse_query((first, second), ("accepted",), ()))
    assert made.excluded == {"in the frozen set eval, or of its group": 6 + 2 + 3 + 3}
    assert set(splits(home)) == {"v2"}
    grown = create(home, "eval", is_frozen=True, query=parse_query((second,), ("accepted",), ()))
    after = by_frame(home, "eval")
    assert {key: after[key] for key in before} == before
    assert grown.excluded["of a video that the frozen set has: it grows by whole videos"] == 2
    trained = splits(home)["v2"] == {"train"}
    assert ("v2" in splits(home, "eval")) != trained
    assert {"v0", "v1", "v3", "copy-v1"} <= set(splits(home, "eval"))


def test_a_frame_without_its_image_is_left_out(home: Home) -> None:
    plant(home, [PlantedVideo("v0"), PlantedVideo("v1")])
    create(home)
    frame = frames_of(home)[0]
    frame.image.write_bytes(b"not an image")
    with database_of(home).transaction() as session:
        session.execute(delete(ImageDescriptorRow))
    assert create(home, "again").excluded == {"without a readable image": 1}


def test_shares_that_do_not_add_up_are_refused() -> None:
    assert parse_shares("70/0/30") == (0.7, 0.0, 0.3)
    for text in ("80/10", "80/10/20", "a/b/c", "110/-10/0"):
        with pytest.raises(ConfigError, match="sum of 100"):
            parse_shares(text)


def test_shares_are_kept_over_many_groups() -> None:
    division = Division((0.8, 0.1, 0.1), seed=3)
    drawn = [division.split_of(f"video {number}") for number in range(4000)]
    assert [round(drawn.count(name) / 4000, 2) for name in ("train", "val", "test")] == pytest.approx(
        [0.8, 0.1, 0.1], abs=0.015
    )
