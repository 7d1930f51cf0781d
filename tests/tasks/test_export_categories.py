"""The category that a reviewer chose, in the files of every format and in a dataset version."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sqlalchemy import select, update

from configs.export_formats import ExportFormat
from db.datasets.queries import find_version, version_categories, version_frames
from db.frames.dataset import dataset_frames
from db.models.core import InstanceRow
from labeling.storage.home import Home
from tasks import calibrate
from tasks.datasets.create import create_dataset
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import database_of, open_context
from tasks.export import ExportOrder, write_dataset
from tests.db.review.test_categories import BIKE, RIDER, Desk
from tests.planted_reviews import PlantedRun


@pytest.fixture
def run(home: Home) -> PlantedRun:
    """The person is a bicycle, as a reviewer says; the teacher's bicycle is none."""
    desk = Desk(home)
    run = desk.plant("person", "bicycle")
    desk.push(run)
    desk.review(run, [(RIDER, "bicycle")])
    return run


def _one(folder: Path, pattern: str) -> Path:
    [path] = folder.rglob(pattern)
    return path


def _coco(folder: Path) -> object:
    tree = json.loads(_one(folder, "instances.json").read_text())
    return [one["category_id"] for one in tree["annotations"]]


def _voc(folder: Path) -> object:
    return sorted(np.unique(np.asarray(Image.open(_one(folder, "SegmentationClass/*.png")))))


def _webdataset(folder: Path) -> object:
    with tarfile.open(_one(folder, "*.tar")) as archive:
        [name] = [one for one in archive.getnames() if one.endswith(".json")]
        content = archive.extractfile(name)
        assert content is not None
        tree = json.load(io.TextIOWrapper(content))
    return [one["category"] for one in tree["instances"]]


READERS: dict[ExportFormat, tuple[Callable[[Path], object], object]] = {
    "coco": (_coco, [2]),
    "yolo-seg": (lambda folder: _one(folder, "labels/*.txt").read_text().split()[0], "1"),
    "voc": (_voc, [0, 2]),
    "cvat": (
        lambda folder: [one.get("label") for one in Xml.parse(_one(folder, "annotations.xml")).iter("mask")],  # noqa: S314  # our own
        ["bicycle"],
    ),
    "datumaro": (
        lambda folder: [
            one["label_id"]
            for item in json.loads(_one(folder, "default.json").read_text())["items"]
            for one in item["annotations"]
        ],
        [1],
    ),
    "parquet": (
        lambda folder: [
            row["objects"]["category"] for row in pq.read_table(_one(folder, "*.parquet")).to_pylist()
        ],
        [[1]],
    ),
    "webdataset": (_webdataset, ["bicycle"]),
    "mots": (lambda folder: _one(folder, "gt.txt").read_text().split()[2], "11"),
    "youtube-vis": (
        lambda folder: [
            one["category_id"]
            for one in json.loads(_one(folder, "youtube_vis.json").read_text())["annotations"]
        ],
        [2],
    ),
}
"""What each format says of the only instance; `masks` has no categories."""


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("name", READERS)
def test_each_format_has_the_reviewed_category(name: ExportFormat, home: Home, tmp_path: Path) -> None:
    read, expected = READERS[name]
    write_dataset(open_context(home), str(tmp_path / "out"), ExportOrder(name, decisions=("reviewed",)))
    assert read(tmp_path / "out") == expected


@pytest.mark.usefixtures("run")
def test_a_dataset_version_has_the_reviewed_category(home: Home) -> None:
    create_dataset(open_context(home), DatasetOrder("streets"))
    with database_of(home).session() as session:
        made = find_version(session, "streets")
        assert version_categories(session, made) == ("person", "bicycle")
        frames = list(version_frames(session, made, home))
    assert [one.category for frame in frames for one in frame.instances] == ["bicycle"]


def test_a_calibration_takes_the_people_of_a_review_alone(home: Home, tmp_path: Path) -> None:
    desk = Desk(home)
    run = desk.plant("person", "bicycle")
    desk.push(run)
    desk.review(run, [(RIDER, "person"), (BIKE, "bicycle")])
    with database_of(home).session() as session:
        [frame] = dataset_frames(session, run.id, home, decisions=["reviewed"])
    assert calibrate._reviewed_image(frame, tmp_path).people == (RIDER,)


def test_the_track_of_a_person_is_not_that_of_what_it_was_made(home: Home) -> None:
    desk = Desk(home)
    run = desk.plant("person", "bicycle")
    desk.push(run)
    with database_of(home).transaction() as session:
        session.execute(update(InstanceRow).where(InstanceRow.category == "person").values(track_id=7))
        person = session.scalars(select(InstanceRow.id).where(InstanceRow.track_id == 7)).one()
    for category, track_id in (("person", 7), ("bicycle", None)):
        desk.review(run, [(RIDER, category), (BIKE, "bicycle")], source_id=person)
        with database_of(home).session() as session:
            [frame] = dataset_frames(session, run.id, home, decisions=["reviewed"])
        first, _ = frame.instances
        assert (first.id, first.track_id) == (person, track_id)
