"""The folder of a matte."""

import json
from pathlib import Path

import numpy as np
import pytest

from configs.errors import AlreadyRunning, HomeNotWritable, StorageError
from configs.matting import PlateBlock
from labeling.background.coverage import Coverage, MaskedPlate
from labeling.matting.output import MatteFolder
from labeling.storage.outputs import OUTPUT_MARK


@pytest.fixture
def folder(tmp_path: Path) -> MatteFolder:
    made = MatteFolder(tmp_path / "walk")
    made.create()
    return made


def test_the_result_is_valid_json_with_one_record_per_frame(folder: MatteFolder) -> None:
    records = [{"index": i, "people": i % 2} for i in range(5)]
    folder.append_frame_records(records[:3])
    folder.append_frame_records(records[1:])  # frames that were matted again
    folder.write_json_with_frames("matte.json", {"summary": {"frames": 5, "warnings": []}})
    tree = json.loads((folder.root / "matte.json").read_bytes())
    assert tree == {"summary": {"frames": 5, "warnings": []}, "frames": records}
    assert folder.read_json("matte.json") == tree


def test_a_record_that_was_cut_off_is_written_again(folder: MatteFolder) -> None:
    folder.append_frame_records([{"index": 0, "people": 1}])
    with (folder.root / "frames.jsonl").open("ab") as file:
        file.write(b'\n{"index": 1, "peo')
    folder.append_frame_records([{"index": 1, "people": 2}, {"index": 2, "people": 3}])
    assert [record["people"] for record in folder.frame_records()] == [1, 2, 3]


def test_a_stored_plate_is_read_back_with_its_coverage(folder: MatteFolder) -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (30, 41, 3), dtype=np.uint8)
    coverage = rng.integers(0, 4, (30, 41)).astype(np.uint8)
    written = MaskedPlate(rgb, coverage, PlateBlock(), ("a warning",), 1.5, is_stabilized=True)
    assert folder.read_plate(PlateBlock()) is None
    folder.write_plate(written)
    read = folder.read_plate(PlateBlock())
    assert read is not None
    assert np.array_equal(read.rgb, rgb)
    assert np.array_equal(read.coverage, coverage)
    assert (read.warnings, read.shift_px, read.is_stabilized) == (("a warning",), 1.5, True)
    assert set(np.unique(coverage)) <= set(Coverage)
    (folder.root / "coverage.png").write_bytes(b"cut off")
    assert folder.read_plate(PlateBlock()) is None


def test_frames_are_counted_up_to_the_first_gap(folder: MatteFolder) -> None:
    for index in (0, 1, 3):
        folder.write_image(f"alpha/{index:05d}.png", np.zeros((4, 4), np.uint8))
    assert folder.frames_done() == 2
    (folder.root / "alpha" / "00001.png").write_bytes(b"damaged")
    with pytest.raises(StorageError, match="delete the folder"):
        folder.read_alpha(1)


def test_a_second_process_is_refused_and_leftovers_of_a_killed_one_are_deleted(folder: MatteFolder) -> None:
    leftovers = [folder.root / ".writing-composite.mp4", folder.root / "alpha" / ".writing-abc"]
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    with folder.exclusive():
        assert not any(path.exists() for path in leftovers)
        with pytest.raises(AlreadyRunning, match="another process"), MatteFolder(folder.root).exclusive():
            pass
    with folder.exclusive():
        pass
    assert sorted(path.name for path in folder.root.iterdir()) == [OUTPUT_MARK, "alpha"]


def test_a_file_where_the_folder_should_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "walk").write_bytes(b"")
    with pytest.raises(HomeNotWritable, match="choose another --out"):
        MatteFolder(tmp_path / "walk").create()
