"""Which frames and persons of a run that decided by person are exported, and how."""

from datetime import datetime
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from sqlalchemy import update
from typer.testing import CliRunner

from configs.models import Review
from db.models.core import DecisionRow, InstanceRow
from db.models.review import LabelStudioProjectRow
from db.review.annotations import FrameAnnotations, SentFrame, store_annotations
from db.review.items import proposed_instances
from db.review.outbox import fill_outbox
from flows.cli.main import app
from labeling.review.records import ReviewedFrame, ReviewedInstance
from labeling.storage.home import Home
from labeling.structures.masks import Mask
from tasks.execution.context import database_of, open_context
from tasks.export import ExportOrder, write_dataset
from tasks.review.consensus import update_consensus
from tests.planted_reviews import PlantedRun, box_mask, person_frames, plant_run

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


@pytest.mark.usefixtures("run")
def test_the_command_tells_what_waits_for_review_and_hard_adds_it(home: Home, tmp_path: Path) -> None:
    command = ["export", "coco", str(tmp_path / "out"), "--home", str(home.root)]
    usual, hard, one = (
        CliRunner().invoke(app, [*command, *more])
        for more in ([], ["--decision", "hard"], ["--decision", "accepted"])
    )
    assert one.output.startswith("1 frame with 2 instances in ")
    assert usual.output.startswith("2 frames")
    assert "not in it before annotators have seen them: 1. --decision hard" in usual.output
    assert hard.output.startswith("3 frames")
    assert "annotators" not in hard.output


def test_only_complete_frames_have_no_doubtful_person(home: Home, run: PlantedRun, tmp_path: Path) -> None:
    coco = export(home, tmp_path / "out", only_complete=True)
    assert set(coco.imgs) == {run.frames[ACCEPTED]}


@pytest.mark.usefixtures("run")
def test_formats_without_ignored_regions_have_complete_frames_only(home: Home, tmp_path: Path) -> None:
    order = ExportOrder("masks", decisions=("accepted", "partial", "review"))
    assert write_dataset(open_context(home), str(tmp_path / "out"), order).frames == 1


def test_a_person_of_whom_no_mask_is_right_is_an_ignored_region(
    home: Home, run: PlantedRun, tmp_path: Path
) -> None:
    """The reviewer says so; the place is that of the mask that was shown."""
    answer_review(home, run, run.frames[PARTIAL], wrong=1)
    coco = export(home, tmp_path / "out", decisions=("reviewed",))
    right, left_out = coco.imgToAnns[run.frames[PARTIAL]]
    assert (right["iscrowd"], left_out["iscrowd"]) == (0, 1)
    assert Mask.from_coco(right["segmentation"]) == box_mask(10, 10, 30, 80)
    assert Mask.from_coco(left_out["segmentation"]).box_xywh == (86, 16, 38, 98)
    assert not export(home, tmp_path / "complete", decisions=("reviewed",), only_complete=True).imgs


def answer_review(home: Home, run: PlantedRun, frame_id: int, *, wrong: int) -> None:
    """Store a review that leaves out the person of this rank and confirms the others."""
    now = datetime(2026, 5, 1)
    with database_of(home).transaction() as session:
        session.add(LabelStudioProjectRow(id=1, location="local", title="t", external_id=1, settings={}))
        fill_outbox(session, run.id)
        shown = proposed_instances(session, run.id, [frame_id])[frame_id]
        people = [
            ReviewedInstance(Mask.empty(one.mask.size_hw), "prediction-changed", one.id)
            if rank == wrong
            else ReviewedInstance(one.mask, "prediction", one.id)
            for rank, one in enumerate(shown)
        ]
        word = ReviewedFrame(frame_id, 1, 1, "ann@example.org", "corrected", tuple(people), 2.0, now, now)
        sent = SentFrame(1, 1, run.id)
        store_annotations(session, {frame_id: FrameAnnotations(sent, [word], shown)})
        update_consensus(session, [frame_id], Review())
