"""Which frames and persons of a run that decided by person are exported, and how."""

from pathlib import Path

import pytest
from pycocotools.coco import COCO
from sqlalchemy import update

from db.models.core import DecisionRow, InstanceRow
from labeling.storage.home import Home
from tasks.execution.context import database_of, open_context
from tasks.export import ExportOrder, write_dataset
from tests.planted_reviews import PlantedRun, person_frames, plant_run

ACCEPTED, PARTIAL, NOT_FOUND = range(3)


@pytest.fixture
def run(home: Home) -> PlantedRun:
    """Three frames of two people: all accepted; one doubtful; one doubtful, and another may be missing."""
    run = plant_run(home, [*person_frames(1, decision="accepted"), *person_frames(2)])
    with database_of(home).transaction() as session:
        session.execute(update(InstanceRow).where(InstanceRow.role == "teacher").values(decision="accepted"))
        doubtful = InstanceRow.frame_id.in_(run.frames[PARTIAL:]) & (InstanceRow.rank == 1)
        session.execute(update(InstanceRow).where(doubtful).values(decision="review"))
        for frame, people in enumerate(((2, 0), (1, 1), (0, 1))):
            decided = dict(zip(("accepted_people", "doubtful_people"), people, strict=True))
            of_frame = DecisionRow.frame_id == run.frames[frame]
            session.execute(update(DecisionRow).where(of_frame).values(**decided))
    return run


def export(home: Home, folder: Path, **order: object) -> COCO:
    write_dataset(open_context(home), str(folder), ExportOrder(**order))  # type: ignore[arg-type]  # its fields
    return COCO(str(folder / "annotations" / "instances.json"))


def test_a_partial_frame_has_its_accepted_person_and_an_ignored_region(
    home: Home, run: PlantedRun, tmp_path: Path
) -> None:
    coco = export(home, tmp_path / "out")
    assert set(coco.imgs) == {run.frames[ACCEPTED], run.frames[PARTIAL]}
    crowds = [one["iscrowd"] for one in coco.imgToAnns[run.frames[PARTIAL]]]
    assert crowds == [0, 1]
    assert not any(one["iscrowd"] for one in coco.imgToAnns[run.frames[ACCEPTED]])


def test_only_complete_frames_have_no_doubtful_person(home: Home, run: PlantedRun, tmp_path: Path) -> None:
    coco = export(home, tmp_path / "out", only_complete=True)
    assert set(coco.imgs) == {run.frames[ACCEPTED]}


@pytest.mark.usefixtures("run")
def test_formats_without_ignored_regions_have_complete_frames_only(home: Home, tmp_path: Path) -> None:
    order = ExportOrder("masks", decisions=("accepted", "partial", "review"))
    assert write_dataset(open_context(home), str(tmp_path / "out"), order).frames == 1
