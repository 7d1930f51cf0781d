"""People with known trajectories: who is who when they cross, frames between annotations, what is kept as files."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InsufficientMasks, ModelError, TrajectoriesInvalid, UnknownPerson, WeightsCorrupt
from configs.segmenters import LiteBlock, OsvosBlock
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask, iou_matrix
from labeling.video.decode import decode_clip
from tests.labeling.tracking.crossing import COUNT, EVERY, KnownPeople, write_scene

pytestmark = [pytest.mark.requires("torch", "torch"), pytest.mark.requires("timm", "timm")]
BACKBONE = "test_efficientnet"
"""The smallest of timm, with random weights."""
Masks = dict[int, dict[int, BoolArray]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Masks]:
    folder = tmp_path_factory.mktemp("crossing")
    return folder, write_scene(folder)


def block_of(folder: Path, **changes: object) -> OsvosBlock:
    settings: dict[str, object] = {
        "trajectories": folder / "people.txt",
        "homography": folder / "H.txt",
        "backbone": BACKBONE,
        "teacher": LiteBlock(),
        "samples": 24,
        "batch": 3,
        "epochs": 10,
        "cache": folder / "cache",
    }
    return OsvosBlock.model_validate(settings | changes)


def segment(folder: Path, masks: Masks, teacher: KnownPeople, **changes: object) -> list[list[Instance]]:
    from labeling.segmenters.osvos import OsvosSegmenter

    clip = Clip("crossing", folder / "video.mp4")
    prepared = OsvosSegmenter(block_of(folder, **changes), teacher).prepare(clip)
    frames = [Frame("crossing", one.pts_ms, one.to_rgb(), t=one.t) for one in decode_clip(clip)]
    return prepared.segment(frames)


@pytest.fixture(scope="module")
def found(scene: tuple[Path, Masks]) -> list[list[Instance]]:
    folder, masks = scene
    return segment(folder, masks, KnownPeople(masks))


def ious(found: list[list[Instance]], masks: Masks, person: int, of: int) -> list[float]:
    """Return the IoU of the masks of one person with the pixels of another, frame by frame; 0 without a mask."""
    result = []
    for number, instances in enumerate(found):
        mine = [one.mask for one in instances if one.track_id == person]
        truth = [Mask.from_array(masks[number][of])]
        result.append(float(iou_matrix(mine, truth)[0, 0]) if mine else 0.0)
    return result


@pytest.mark.slow
@pytest.mark.long
def test_people_who_cross_keep_their_identity(scene: tuple[Path, Masks], found: list[list[Instance]]) -> None:
    _, masks = scene
    assert len(found) == COUNT
    for person, other in ((1, 2), (2, 1)):
        own, others = ious(found, masks, person, person), ious(found, masks, person, other)
        assert np.mean(own) > 0.6
        assert sum(theirs > mine for mine, theirs in zip(own, others, strict=True)) == 0


@pytest.mark.slow
def test_frames_between_annotations_have_masks(
    scene: tuple[Path, Masks], found: list[list[Instance]]
) -> None:
    _, masks = scene
    own = np.array(ious(found, masks, 1, 1))
    last = (COUNT - 1) // EVERY * EVERY
    between = [own[number] for number in range(last + 1) if number % EVERY]
    assert min(between) > 0.4
    assert all(not people for people in found[last + 1 :])
    scores = [one.score for people in found for one in people]
    assert min(scores) > 0.2
    assert max(scores) <= 1


@pytest.mark.slow
def test_what_is_learned_is_kept_and_only_what_is_missing_is_learned_again(
    scene: tuple[Path, Masks], found: list[list[Instance]], tmp_path: Path
) -> None:
    folder, masks = scene
    (cache,) = (folder / "cache").iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in cache.glob("*.pt")}
    assert set(before) == {"parent.pt", "person_1.pt", "person_2.pt"}
    (cache / "person_2.pt").unlink()  # as if the process was killed before it was written
    teacher = KnownPeople(masks)
    again = segment(folder, masks, teacher)
    assert teacher.seen == []
    after = {path.name: path.stat().st_mtime_ns for path in cache.glob("*.pt")}
    assert after.keys() == before.keys()
    assert [name for name in before if before[name] != after[name]] == ["person_2.pt"]
    assert [[one.mask for one in people] for people in again] == [
        [one.mask for one in people] for people in found
    ]


@pytest.mark.slow
def test_a_person_without_masks_is_reported_with_the_distances(
    scene: tuple[Path, Masks], tmp_path: Path
) -> None:
    folder, masks = scene
    only_one = {number: {1: people[1]} for number, people in masks.items()}
    for name in ("video.mp4", "people.txt", "H.txt"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(
        InsufficientMasks, match=r"person 2: 0 masks .* distances to the nearest box \d+"
    ) as error:
        segment(tmp_path, masks, KnownPeople(only_one), people=(2,), samples=8, epochs=1)
    assert error.value.code == "insufficient_masks"


def test_wrong_files_and_ids_are_refused_before_anything_is_learned(
    scene: tuple[Path, Masks], tmp_path: Path
) -> None:
    folder, masks = scene
    teacher = KnownPeople(masks)
    with pytest.raises(UnknownPerson, match="the file has 1, 2"):
        segment(folder, masks, teacher, people=(9,))
    with pytest.raises(TrajectoriesInvalid, match=r"no video\.txt"):
        segment(folder, masks, teacher, trajectories=tmp_path)
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(WeightsCorrupt, match="not a state dict"):
        segment(folder, masks, teacher, weights=tmp_path / "weights.pth")
    assert teacher.seen == []


def test_it_must_be_prepared(scene: tuple[Path, Masks]) -> None:
    from labeling.segmenters.osvos import OsvosSegmenter

    folder, masks = scene
    segmenter = OsvosSegmenter(block_of(folder), KnownPeople(masks))
    assert segmenter.card.kind == "osvos"
    assert not segmenter.card.sees_mirrored
    with pytest.raises(ModelError, match="prepare"):
        segmenter.segment([Frame("v", 0, np.zeros((48, 64, 3), dtype=np.uint8))])
