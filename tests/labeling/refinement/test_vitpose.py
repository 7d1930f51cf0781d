"""ViTPose as a refiner, with a network whose weights find colors: keypoints lie where these are."""

from pathlib import Path

import numpy as np
import pytest

from configs.errors import ConfigError
from configs.refinement import SamBlock, VitPoseBlock
from labeling.refinement.factory import make_refiner
from labeling.segmenters.refined import RefinedSegmenter
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance, Keypoints
from labeling.structures.masks import Mask
from tests.fakes import transformers_models as fakes
from tests.fakes.segmenters import Box, ScriptedSegmenter

pytestmark = [
    pytest.mark.requires("torch", "torch"),
    pytest.mark.requires("torchvision", "torchvision"),
    pytest.mark.requires("transformers", "transformers"),
    pytest.mark.slow,
    # of transformers, in its own code
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]
LEFT, RIGHT = (20, 30, 60, 150), (150, 10, 100, 100)
DOTS = {LEFT: ((50, 60), (35, 150)), RIGHT: ((225, 40), (180, 90))}
"""Centers of the red and the green dot in each box, in pixels (x, y)."""


def paint() -> RgbImage:
    image = np.full((200, 300, 3), 90, dtype=np.uint8)
    for dots in DOTS.values():
        for (x, y), color in zip(dots, ((230, 20, 20), (20, 230, 20)), strict=True):
            image[y - 6 : y + 7, x - 6 : x + 7] = color
    return image


@pytest.fixture(scope="module")
def vitpose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.save_vitpose(tmp_path_factory.mktemp("vitpose") / "vitpose")


def find(model: Path, frame: Frame, *boxes: Box) -> list[Keypoints]:
    """Return the keypoints of the people in these boxes."""
    refiner = make_refiner(VitPoseBlock(model=str(model)))
    (people,) = RefinedSegmenter(ScriptedSegmenter(boxes), [refiner]).segment([frame])
    return [person.keypoints or () for person in people]


def assert_near(
    point: tuple[float, float, float], expected: tuple[float, float], *, within_px: float
) -> None:
    assert np.hypot(point[0] - expected[0], point[1] - expected[1]) < within_px
    assert point[2] > 0.5


def test_keypoints_of_each_person_lie_where_the_image_shows_them(vitpose: Path) -> None:
    left, right = find(vitpose, Frame("v", 0, paint()), LEFT, RIGHT)
    for points, (red, green), crop_px in ((left, DOTS[LEFT], 187.5), (right, DOTS[RIGHT], 167.0)):
        cell_px = 8 * crop_px / 128  # of the network's patches, in the frame
        assert len(points) == 17
        assert_near(points[0], red, within_px=cell_px)
        assert_near(points[16], green, within_px=cell_px)


def test_keypoints_of_a_mirrored_frame_lie_in_the_mirrored_image(vitpose: Path) -> None:
    frame = Frame("v", 0, paint())
    width = frame.size_hw[1]
    x, y, w, h = LEFT
    (plain,) = find(vitpose, frame, LEFT)
    (mirrored,) = find(vitpose, frame.mirror(), (width - x - w, y, w, h))
    assert [point[0] for point in mirrored] == [width - point[0] for point in plain]
    assert [point[1:] for point in mirrored] == [point[1:] for point in plain]


def test_masks_stay_and_no_refiner_of_the_mask_is_named(vitpose: Path) -> None:
    refiner = make_refiner(VitPoseBlock(model=str(vitpose)))
    teacher, frame = ScriptedSegmenter([LEFT, RIGHT]), Frame("v", 0, paint())
    (before,), (after,) = teacher.segment([frame]), RefinedSegmenter(teacher, [refiner]).segment([frame])
    assert [one.mask for one in after] == [one.mask for one in before]
    assert {(one.refined_by, one.iou_before, one.not_refined) for one in after} == {(None, None, ())}


def test_keypoints_that_are_nowhere_stay_in_the_image_without_confidence(vitpose: Path) -> None:
    gray = Frame("v", 0, np.full((200, 300, 3), 90, dtype=np.uint8))
    for points in find(vitpose, gray, LEFT, (298, 0, 2, 200)):
        x, y, confidence = np.array(points).T
        assert ((x >= 0) & (x <= 300) & (y >= 0) & (y <= 200)).all()
        assert (confidence < 0.5).all()


def test_a_person_without_a_box_has_no_keypoints(vitpose: Path) -> None:
    frame = Frame("v", 0, paint())
    empty = Instance(Mask.empty(frame.size_hw), 0.9, (0.0, 0.0, 0.0, 0.0))
    (people,) = make_refiner(VitPoseBlock(model=str(vitpose))).refine([frame], [[empty]])
    assert people == [empty]


def test_a_network_of_several_data_sets_is_asked_for_cocos(vitpose: Path, tmp_path: Path) -> None:
    several = fakes.save_vitpose(tmp_path / "several", experts=2)
    frame = Frame("v", 0, paint())
    assert find(several, frame, LEFT, RIGHT) == find(vitpose, frame, LEFT, RIGHT)


def test_other_keypoints_and_other_networks_are_refused(vitpose: Path, tmp_path: Path) -> None:
    hands = fakes.save_vitpose(tmp_path / "hands", keypoints=21)
    with pytest.raises(ConfigError, match="gives 21 keypoints"):
        make_refiner(VitPoseBlock(model=str(hands)))
    with pytest.raises(ConfigError, match="is vitpose: name a model that takes boxes"):
        make_refiner(SamBlock(model=str(vitpose)))
