import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.errors import DiskFull, ExportError
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.yolo import write_yolo_seg
from labeling.datasets.records import DatasetFrame
from labeling.datasets.staging import ImageFolder, export_errors, stage_export
from labeling.storage.outputs import EXPORT_MARK
from tests.labeling.datasets.frames import files_under, frame, instance, ring_and_dot


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def frames(home: Path) -> list[DatasetFrame]:
    return [frame(n, home, instance(n, ring_and_dot())) for n in (1, 2, 3)]


def _write(staging: Path, **entries: str) -> None:
    for name, text in entries.items():
        (staging / name).write_text(text)


def test_images_are_hard_links_unless_copies_are_requested(
    frames: list[DatasetFrame], tmp_path: Path
) -> None:
    write_coco(frames, tmp_path / "linked")
    write_coco(frames, tmp_path / "copied", copy=True)
    assert (tmp_path / "linked/images/0001.jpg").samefile(frames[0].image)
    assert not (tmp_path / "copied/images/0001.jpg").samefile(frames[0].image)
    assert (tmp_path / "copied/images/0001.jpg").read_bytes() == frames[0].image.read_bytes()


def test_a_link_to_an_image_leads_to_the_image_itself(frames: list[DatasetFrame], tmp_path: Path) -> None:
    alias = tmp_path / "alias.jpg"
    alias.symlink_to(frames[0].image)
    ImageFolder(tmp_path / "images", copy=False).add(alias, name="a.jpg")
    assert not (tmp_path / "images/a.jpg").is_symlink()
    assert (tmp_path / "images/a.jpg").samefile(frames[0].image)


def test_images_on_another_disk_are_copied_and_noted(tmp_path: Path) -> None:
    other = Path("/dev/shm")  # noqa: S108 - another file system on every Linux machine
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk on this machine")
    far = other / f"maskmill-{os.getpid()}.jpg"
    far.write_bytes(b"image")
    try:
        images = ImageFolder(tmp_path / "images", copy=False)
        images.add(far, name="far.jpg")
    finally:
        far.unlink()
    assert (tmp_path / "images/far.jpg").read_bytes() == b"image"
    assert images.notes() == ["1 image copied: hard links to this folder are not possible"]


def test_a_folder_with_something_else_is_refused_and_left_alone(
    frames: list[DatasetFrame], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match=r"thesis\.tex"):
        write_coco(frames, tmp_path / "out")
    assert files_under(tmp_path / "out") == {"thesis.tex": b"years of work"}


def test_a_file_in_place_of_the_folder_is_refused(frames: list[DatasetFrame], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ExportError, match="is a file"):
        write_coco(frames, tmp_path / "out")


def test_an_earlier_export_is_replaced_as_a_whole(frames: list[DatasetFrame], tmp_path: Path) -> None:
    write_coco(frames, tmp_path / "again")
    write_coco(frames[:1], tmp_path / "again")
    write_coco(frames[:1], tmp_path / "fresh")
    assert files_under(tmp_path / "again") == files_under(tmp_path / "fresh")
    assert sorted(p.name for p in (tmp_path / "again/images").iterdir()) == ["0001.jpg"]


def test_an_export_in_another_format_replaces_it_too(frames: list[DatasetFrame], tmp_path: Path) -> None:
    write_coco(frames, tmp_path / "again")
    write_yolo_seg(frames, tmp_path / "again")
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == [
        EXPORT_MARK, "data.yaml", "frames.jsonl", "images", "labels",
    ]  # fmt: skip


def test_files_beside_an_earlier_export_stay(frames: list[DatasetFrame], tmp_path: Path) -> None:
    write_coco(frames, tmp_path / "out")
    (tmp_path / "out/train.log").write_text("epoch 1")
    write_coco(frames[:1], tmp_path / "out")
    assert (tmp_path / "out/train.log").read_text() == "epoch 1"


def test_a_file_beside_an_earlier_export_is_never_overwritten(
    frames: list[DatasetFrame], tmp_path: Path
) -> None:
    write_coco(frames, tmp_path / "out")
    (tmp_path / "out/data.yaml").write_text("mine")
    before = files_under(tmp_path / "out")
    with pytest.raises(ExportError, match=r"data\.yaml"):
        write_yolo_seg(frames, tmp_path / "out")
    assert files_under(tmp_path / "out") == before


def test_a_failure_half_way_leaves_the_earlier_export_as_it_was(
    frames: list[DatasetFrame], tmp_path: Path
) -> None:
    write_coco(frames[:1], tmp_path / "out")
    before = files_under(tmp_path / "out")

    def torn() -> Iterator[DatasetFrame]:
        yield frames[1]
        raise ConnectionResetError("database went away")

    with pytest.raises(ConnectionResetError):
        write_coco(torn(), tmp_path / "out")
    assert files_under(tmp_path / "out") == before


def test_a_failure_leaves_no_new_folder_behind(frames: list[DatasetFrame], tmp_path: Path) -> None:
    frames[1].image.unlink()
    with pytest.raises(ExportError, match=r"0002\.jpg is missing"):
        write_coco(frames, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("moved_in", [0, 1, 2])
def test_a_swap_that_was_killed_is_undone_by_the_next_export(moved_in: int, tmp_path: Path) -> None:
    """After a kill, the old entries are aside and some of the new ones moved in."""
    folder = tmp_path / "out"
    with stage_export(folder, entries=("a", "b")) as staging:
        _write(staging, a="old a", b="old b")
    (folder / ".maskmill-previous").mkdir()
    (folder / ".maskmill-writing").mkdir()
    for name in ("a", "b"):
        (folder / name).replace(folder / ".maskmill-previous" / name)
    for name in ("a", "b")[:moved_in]:
        _write(folder, **{name: "half-way"})
    with pytest.raises(KeyError), stage_export(folder, entries=("a", "b")):
        raise KeyError("the next export fails too")
    assert [(folder / name).read_text() for name in ("a", "b")] == ["old a", "old b"]
    assert sorted(p.name for p in folder.iterdir()) == [EXPORT_MARK, "a", "b"]


def test_a_first_export_that_was_killed_does_not_block_the_folder(
    frames: list[DatasetFrame], tmp_path: Path
) -> None:
    (tmp_path / "out/.maskmill-writing/images").mkdir(parents=True)
    (tmp_path / "out/.maskmill-writing/images/0001.jpg").write_bytes(b"half")
    write_coco(frames, tmp_path / "out")
    write_coco(frames, tmp_path / "fresh")
    assert files_under(tmp_path / "out") == files_under(tmp_path / "fresh")


@pytest.mark.parametrize("marker", ["", "[]", '{"entries": [".."]}', '{"entries": [""]}', '{"entries": "a"}'])
def test_a_foreign_marker_protects_the_folder(marker: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    _write(tmp_path / "out", **{EXPORT_MARK: marker, "a": "precious"})
    with (
        pytest.raises(ExportError, match="'a', which maskmill did not write"),
        stage_export(tmp_path / "out", entries=("b",)),
    ):
        pass
    assert (tmp_path / "out/a").read_text() == "precious"


@pytest.mark.parametrize("name", ["../escape.jpg", "a/b.jpg", "", "..", "a\\b.jpg"])
def test_a_file_name_that_leads_elsewhere_is_refused(
    name: str, frames: list[DatasetFrame], tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="one plain name"):
        write_coco([frames[0]._replace(file_name=name)], tmp_path / "out")


def test_two_images_of_one_name_are_refused(frames: list[DatasetFrame], tmp_path: Path) -> None:
    for copy in (False, True):
        with pytest.raises(ExportError, match=r"two frames have the file name '0001\.jpg'"):
            write_coco(
                [frames[0], frames[1]._replace(file_name="0001.jpg")],
                tmp_path / "out",
                copy=copy,
            )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
def test_a_full_disk_has_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="no space left"), export_errors(tmp_path):
        Path("/dev/full").write_text("more")


def test_another_failure_of_the_disk_keeps_its_cause(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Not a directory") as caught, export_errors(tmp_path):
        (Path(__file__) / "below").write_text("")
    assert isinstance(caught.value.__cause__, NotADirectoryError)


def test_a_name_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ExportError, match="name too long"),
        stage_export(tmp_path / ("o" * 300), entries=["a"]),
    ):
        pass
