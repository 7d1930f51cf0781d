"""What an exported version holds beside its masks: the leak certificate, its page, and the card; and `diff`."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO
from sqlalchemy import update
from typer.testing import CliRunner

from configs.errors import ExportError
from db.models.datasets import DatasetSplitRow
from db.runs.queries import latest_run
from flows.cli.main import app
from labeling.datasets.records import DatasetInstance
from labeling.datasets.splits.assignment import Division
from labeling.datasets.versions.difference import mask_changes
from labeling.storage.home import Home
from labeling.structures.masks import Mask
from tasks.datasets.create import create_dataset
from tasks.datasets.export import export_dataset_version
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import database_of, open_context
from tasks.write_frames import ExportStyle
from tests.planted_reviews import box_mask
from tests.tasks.datasets.planting import SIZE_HW, PlantedVideo, correct, plant, scene

VIDEOS = [
    PlantedVideo(f"v{number}", uploader="<b>Ann | x" if number == 3 else None, license="CC0")
    for number in range(10)
]


@pytest.fixture
def dataset(home: Home) -> None:
    """A dataset of ten videos, half of them train and half test."""
    run_id = plant(home, VIDEOS)
    correct(home, run_id, VIDEOS[0].frame_id(0), box_mask(5, 5, 20, 20, SIZE_HW))
    create(home)


def create(home: Home) -> None:
    create_dataset(open_context(home), DatasetOrder("night", division=Division((0.5, 0.0, 0.5))))


def call(*words: str, home: Home) -> str:
    done = CliRunner().invoke(app, ["dataset", *words, "--home", str(home.root)])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("dataset")
def test_the_files_of_the_splits_are_read_by_pycocotools_and_hold_each_frame_once(
    home: Home, tmp_path: Path
) -> None:
    call("export", "night", str(tmp_path / "out"), home=home)
    coco = {
        s: COCO(tmp_path / "out" / "annotations" / f"instances_{s}.json") for s in ("train", "val", "test")
    }
    images = {name: set(one.imgs) for name, one in coco.items()}
    assert (len(images["train"]) + len(images["test"]), images["val"]) == (30, set())
    assert not images["train"] & images["test"]
    assert all(one["split"] == name for name, tree in coco.items() for one in tree.imgs.values())
    assert all(
        (tmp_path / "out" / "images" / one["file_name"]).is_file() for one in coco["test"].imgs.values()
    )


@pytest.mark.slow
@pytest.mark.usefixtures("dataset")
def test_another_format_has_the_same_splits_card_and_certificate(home: Home, tmp_path: Path) -> None:
    call("export", "night", str(tmp_path / "out"), "--format", "yolo-seg", home=home)
    layout = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert (layout["train"], layout["test"]) == ("images/train", "images/test")
    folders = (tmp_path / "out/labels/train", tmp_path / "out/labels/test")
    assert sum(len(list(folder.iterdir())) for folder in folders) == 30
    beside = ("leak_certificate.json", "leaks.html", "README.md", "ATTRIBUTION.md")
    assert all((tmp_path / "out" / name).is_file() for name in beside)
    unknown = [
        "dataset",
        "export",
        "night",
        str(tmp_path / "x"),
        "--format",
        "voca",
        "--home",
        str(home.root),
    ]
    assert "no format 'voca': use coco, yolo-seg, voc" in CliRunner().invoke(app, unknown).output


@pytest.mark.usefixtures("dataset")
def test_frames_of_other_licenses_stay_and_faces_without_keypoints_stop_the_export(
    home: Home, tmp_path: Path
) -> None:
    shown = call("export", "night", str(tmp_path / "out"), "--license-allow", "cc-by*", home=home)
    assert "0 frames with 0 instances" in shown
    assert "30 frames left out, whose license is none of cc-by* (CC0: 30)" in shown
    shown = call("export", "night", str(tmp_path / "out"), "--license-allow", "cc-by*,cc0", home=home)
    assert "30 frames with 30 instances" in shown
    assert "CC0: 3 frames" in (tmp_path / "out/ATTRIBUTION.md").read_text()
    with pytest.raises(ExportError, match="no keypoints are stored, so its face cannot be found"):
        export_dataset_version(
            open_context(home), "night", str(tmp_path / "out"), ExportStyle(blur_faces=True)
        )
    assert (tmp_path / "out/annotations").is_dir(), "the earlier export stays"
    assert not list(home.root.glob("blurred-*"))


@pytest.mark.usefixtures("dataset")
def test_the_certificate_of_a_divided_dataset_is_clean_and_that_of_a_leak_is_not(
    home: Home, tmp_path: Path
) -> None:
    assert "no leak found" in call("export", "night", str(tmp_path / "out"), home=home)
    clean = json.loads((tmp_path / "out" / "leak_certificate.json").read_text())
    assert clean["is_clean"]
    assert len(clean["nearest"]) == clean["frames"]["test"]
    assert clean["nearest"][0]["similarity"] < 0.7
    with database_of(home).transaction() as session:  # as no command would
        moved = update(DatasetSplitRow).where(DatasetSplitRow.frame_id == VIDEOS[3].frame_id(0))
        session.execute(moved.values(split="test" if split_of(clean, VIDEOS[3]) == "train" else "train"))
    leaking = export_dataset_version(open_context(home), "night", str(tmp_path / "out"))
    assert not leaking.is_clean
    found = json.loads((tmp_path / "out" / "leak_certificate.json").read_text())
    assert (found["videos_in_two_splits"], found["sources_in_two_splits"]) == (1, 1)
    assert found["frames_near_train"] == leaking.frames_near_train >= 1
    assert found["nearest"][0]["similarity"] > 0.9
    page = (tmp_path / "out" / "leaks.html").read_text()
    assert page.count("<img ") == 24
    assert "have a near-duplicate in train" in page


def split_of(certificate: dict[str, list[dict[str, object]]], video: PlantedVideo) -> str:
    tested = {str(pair["file_name"])[:12] for pair in certificate["nearest"]}
    return "test" if video.id[:12] in tested else "train"


@pytest.mark.slow
@pytest.mark.usefixtures("dataset")
def test_diff_lists_frames_and_masks_with_iou_and_reviewers(home: Home) -> None:
    with database_of(home).session() as session:
        run_id = latest_run(session).id
    correct(home, run_id, VIDEOS[0].frame_id(0), box_mask(5, 5, 20, 10, SIZE_HW), "bob@example.org")
    correct(home, run_id, VIDEOS[1].frame_id(2), box_mask(12, 10, 30, 60, SIZE_HW), "bob@example.org")
    create(home)
    found = json.loads(call("diff", "night@1", "night@2", "--json", home=home))
    assert (found["frames"], found["masks"]) == ({"changed": 2}, {"changed": 1, "relabeled": 1})
    changes = {change["frame"]: change for change in found["changes"]}
    halved = changes[VIDEOS[0].frame_id(0)]
    assert halved["reviewers"] == ["ann@example.org", "bob@example.org"]
    assert halved["masks"][0] == {
        **{"kind": "changed", "iou": pytest.approx(0.5)},
        **{"before": "ann@example.org", "after": "bob@example.org"},
    }
    assert changes[VIDEOS[1].frame_id(2)]["masks"][0]["iou"] == 1
    assert json.loads(call("diff", "night@2", "night@2", "--json", home=home))["changes"] == []
    images = tuple(scene("new", number) for number in range(2))
    second = plant(home, [PlantedVideo("new", 2, images=images)], hard_iou=0.6)
    call("create", "night", "--from-run", second, "--split", "50/0/50", home=home)
    printed = call("diff", "night@2", "night@3", home=home)
    assert "frames: 2 added, 30 removed; masks in changed frames: none" in printed


@pytest.mark.usefixtures("dataset")
def test_the_card_says_where_frames_and_masks_come_from(home: Home, tmp_path: Path) -> None:
    text = call("card", "night", home=home)
    assert text.startswith("# night@1\n")
    assert "30 frames with 30 masks from 10 videos" in text
    assert "| CC0 | 10 |" in text
    assert "| planted:teacher | - | corrected by a reviewer | 1 |" in text
    assert "| planted:teacher | - | not seen by a person | 29 |" in text
    assert "1f1f1f1f" in text
    assert "96.7 % of the masks were not seen by a person" in text
    assert "\\<b>Ann \\| x" in text
    call("card", "night", "-o", str(tmp_path / "card.md"), home=home)
    assert (tmp_path / "card.md").read_text().strip() == text.strip()


@pytest.mark.usefixtures("dataset")
def test_the_card_counts_causes_and_sizes_by_split_and_names_those_that_test_lacks(home: Home) -> None:
    text = call("card", "night", home=home)
    rows = ("| cause miss | 15 | 0 | 15 |", "| large person | 15 | 0 | 14 |", "| medium person | 0 | 0 | 1 |")
    assert all(row in text for row in rows)
    assert "No frame in test has" not in text
    created = call("create", "other", "--split", "90/0/10", home=home)
    assert "27 train, 3 test" in created
    assert "no frame in test has medium person" in created
    assert "No frame in test has medium person: figures" in call("card", "other", home=home)


def test_a_new_size_of_an_image_removes_and_adds_its_people() -> None:
    small, large = (Mask.from_array(np.ones((side, side), dtype=bool)) for side in (4, 8))
    people = [
        DatasetInstance(7, mask, mask.area_px, mask.box_xywh, 0.5, mask.box_xywh, None, "m:n", None)
        for mask in (small, large)
    ]
    assert [one.kind for one in mask_changes(people[:1], people[1:])] == ["removed", "added"]
