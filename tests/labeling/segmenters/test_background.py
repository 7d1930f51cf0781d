"""Background segmenters on a rendered scene, on planted videos and on a real office."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.errors import EmptyVideo, ModelError, ModelOutputWrong, NotAVideo
from configs.segmenters import BackgroundBlock
from labeling.segmenters.background import BackgroundSegmenter
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, iou_matrix, union_masks
from labeling.synthetic.scene import Scene
from labeling.video.images import read_image
from tests.labeling.segmenters.images import VIDEO_ID, save_images

Method = Literal["plate", "mog2", "knn"]
METHODS = get_args(Method)
SCENE = Scene(seconds=20, size_hw=(136, 240))


@pytest.fixture(scope="module")
def scene_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """The scene as a folder of 60 images."""
    folder = tmp_path_factory.mktemp("scene")
    images = [SCENE.frame(index)[0] for index in range(0, SCENE.frame_count, SCENE.frame_count // 60)]
    return save_images(images, folder)


def scene_frame(index: int) -> Frame:
    return Frame(VIDEO_ID, index * 40, SCENE.frame(index)[0])


def learn_again(method: Method, clip: Clip) -> BackgroundSegmenter:
    return BackgroundSegmenter(BackgroundBlock(method=method)).prepare(clip)


learn = cache(learn_again)
"""What is learned does not change: a test below."""


def union_of(instances: Sequence[Instance], size_hw: tuple[int, int]) -> Mask:
    return union_masks([instance.mask for instance in instances], size_hw)


def mean_iou(segmenter: Segmenter, indices: Sequence[int]) -> float:
    ious = []
    for index in indices:
        expected = union_masks(SCENE.frame(index)[1], SCENE.size_hw)
        found = union_of(segmenter.segment([scene_frame(index)])[0], SCENE.size_hw)
        ious.append(float(iou_matrix([expected], [found])[0, 0]))
    return float(np.mean(ious))


@pytest.mark.slow
def test_the_plate_finds_the_people_of_the_scene_and_the_mixture_fails_on_people_who_stand_still(
    scene_clip: Clip,
) -> None:
    plate, mog2 = learn("plate", scene_clip), learn("mog2", scene_clip)
    assert mean_iou(plate, range(60, 445, 35)) > 0.8
    standing, walking = (170, 180), (80, 90, 430)
    assert mean_iou(plate, standing) > 0.75
    assert mean_iou(mog2, standing) < 0.5
    assert mean_iou(mog2, walking) > 0.75


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_an_empty_room_has_no_instances(method: Method, scene_clip: Clip) -> None:
    assert learn(method, scene_clip).segment([scene_frame(3), scene_frame(490)]) == [[], []]


def test_a_light_that_is_switched_on_is_no_person(scene_clip: Clip) -> None:
    frame = scene_frame(490)
    lit = Frame(VIDEO_ID, 0, np.clip(frame.rgb * 1.3, 0, 255).astype(np.uint8))
    assert learn("plate", scene_clip).segment([lit]) == [[]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.slow
def test_masks_do_not_depend_on_the_frames_before(method: Method, scene_clip: Clip) -> None:
    frames = [scene_frame(index) for index in range(60, 460, 50)]
    forwards = learn_again(method, scene_clip).segment(frames)
    backwards = learn_again(method, scene_clip).segment(frames[::-1])[::-1]
    assert forwards == backwards
    patient = learn_again(method, scene_clip)
    for _ in range(200):  # a model that goes on learning would take this frame for background
        last = patient.segment(frames[3:4])
    assert last == [forwards[3]]
    assert forwards[3]


@pytest.mark.parametrize("method", METHODS)
def test_instances_carry_their_masks_box_and_a_score(method: Method, scene_clip: Clip) -> None:
    for instance in learn(method, scene_clip).segment([scene_frame(90)])[0]:
        assert instance.mask.size_hw == SCENE.size_hw
        assert instance.box_xywh == instance.mask.box_xywh
        assert 0.7 < instance.score <= 1.0
        assert instance.keypoints is None


@pytest.mark.slow
def test_tall_images_are_reduced_and_masks_have_the_full_size(tmp_path: Path) -> None:
    empty = np.full((1080, 640, 3), 120, dtype=np.uint8)
    clip = save_images([empty] * 8, tmp_path)
    shown = empty.copy()
    shown[300:900, 200:400] = (200, 30, 30)
    painted = np.zeros((1080, 640), dtype=bool)
    painted[300:900, 200:400] = True
    found = learn("plate", clip).segment([Frame(VIDEO_ID, 0, shown)])[0]
    assert len(found) == 1
    assert iou_matrix([found[0].mask], [Mask.from_array(painted)])[0, 0] > 0.97


@pytest.mark.slow
def test_flat_components_can_be_excluded(tmp_path: Path) -> None:
    empty = np.full((120, 160, 3), 120, dtype=np.uint8)
    shown = empty.copy()
    shown[20:100, 20:50] = shown[90:110, 70:150] = (20, 200, 30)
    block = BackgroundBlock(min_aspect_ratio=1.0)
    found = BackgroundSegmenter(block).prepare(save_images([empty] * 8, tmp_path))
    boxes = [i.box_xywh for i in found.segment([Frame(VIDEO_ID, 0, shown)])[0]]
    assert [(x < 60, h > w) for x, _, w, h in boxes] == [(True, True)]


def test_segmenting_before_learning_is_refused() -> None:
    with pytest.raises(ModelError, match="prepare"):
        BackgroundSegmenter(BackgroundBlock()).segment([scene_frame(0)])


def test_a_frame_of_another_size_is_refused_with_both_sizes(scene_clip: Clip) -> None:
    other = Frame(VIDEO_ID, 40, np.zeros((48, 64, 3), dtype=np.uint8))
    with pytest.raises(ModelOutputWrong, match=r"64x48.*240x136"):
        learn("plate", scene_clip).segment([other])


def test_images_of_several_sizes_are_refused(tmp_path: Path) -> None:
    images = [np.zeros((60, 80, 3), dtype=np.uint8)] * 4 + [np.zeros((60, 90, 3), dtype=np.uint8)] * 4
    with pytest.raises(ModelOutputWrong, match=r"80x60.*90x60"):
        learn("plate", save_images(images, tmp_path))


def test_an_unreadable_clip_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video " * 400)
    with pytest.raises(NotAVideo, match=r"broken\.mp4"):
        learn("plate", Clip(VIDEO_ID, path=broken))
    with pytest.raises(EmptyVideo):
        learn("plate", Clip(VIDEO_ID))


def test_the_card_depends_on_the_settings_and_has_no_weights() -> None:
    card = BackgroundSegmenter(BackgroundBlock(method="knn", samples=20)).card
    assert (card.kind, card.name, card.weights_sha256) == ("background", "knn", "")
    assert json.loads(card.settings)["samples"] == 20
    assert card != BackgroundSegmenter(BackgroundBlock(method="knn", samples=21)).card
    assert isinstance(BackgroundSegmenter(BackgroundBlock()), Segmenter)


Labels = NDArray[np.uint8]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("method", "floor", "ceiling"), [("plate", 0.9, 1), ("mog2", 0.3, 0.6), ("knn", 0.55, 0.85)]
)
def test_union_iou_on_a_real_office(shared: Path, method: Method, floor: float, ceiling: float) -> None:
    """CDnet 2012 baseline/office: 255 is the person, 50 the shadow, 85 and 170 are ignored."""
    office = shared / "data" / "cdnet_office"
    files = sorted((office / "input").glob("*.jpg"))
    clip = Clip(VIDEO_ID, images=tuple(ImageFile(i, path) for i, path in enumerate(files)))
    segmenter = learn(method, clip)
    region = read_labels(office / "ROI.bmp") > 0
    ious = []
    for path in files[599:1100:20]:
        expected = read_labels(office / "groundtruth" / path.name.replace("in", "gt").replace("jpg", "png"))
        judged = region & ~np.isin(expected, (85, 170))
        rgb = read_image(path)
        instances = segmenter.segment([Frame(VIDEO_ID, 0, rgb)])[0]
        found = union_of(instances, (rgb.shape[0], rgb.shape[1])).to_array() & judged
        person = (expected == 255) & judged
        if person.sum() > 50:
            ious.append((found & person).sum() / (found | person).sum())
    assert len(ious) > 20
    assert floor < float(np.mean(ious)) < ceiling


def read_labels(path: Path) -> Labels:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
