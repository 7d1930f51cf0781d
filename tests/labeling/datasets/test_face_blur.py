"""Faces are blurred in the exported copy, and nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.errors import ExportError
from labeling.datasets.face_blur import blur_faces, faces_of
from labeling.datasets.records import DatasetFrame
from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask
from tests.labeling.datasets.frames import image_of, instance

SIZE_HW = (120, 160)
HEAD_XY = 60.0, 40.0


def standing(*, confidence: float = 0.9) -> Keypoints:
    """Return a person with the face at `HEAD_XY`, ears 16 px apart."""
    x, y = HEAD_XY
    face = [(x, y + 2), (x - 4, y - 2), (x + 4, y - 2), (x - 8, y), (x + 8, y)]
    body = [(x - 20, y + 30), (x + 20, y + 30), *[(x, y + 60)] * 10]
    return (*((*p, confidence) for p in face), *((*p, 0.9) for p in body))


@pytest.fixture
def frame(tmp_path: Path) -> DatasetFrame:
    noise = np.random.default_rng(4).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    path = tmp_path / "0001.png"
    path.write_bytes(cv2.imencode(".png", noise)[1].tobytes())
    pixels = np.zeros(SIZE_HW, dtype=bool)
    pixels[20:110, 30:90] = True
    mask = Mask.from_array(pixels)
    person = instance(1, np.ones((1, 1), dtype=bool), keypoints=standing())
    person = person._replace(mask=mask, area_px=mask.area_px, tight_xywh=mask.box_xywh)
    return image_of(1, SIZE_HW)._replace(image=path, file_name="0001.png", instances=(person,))


def read(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(path))
    assert pixels is not None
    return np.asarray(pixels, dtype=np.uint8)


def test_the_face_loses_its_detail_and_the_rest_stays(frame: DatasetFrame, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    before = frame.image.read_bytes()
    (blurred,) = blur_faces([frame], tmp_path / "scratch")
    assert frame.image.read_bytes() == before
    assert blurred.image != frame.image
    old, new = read(frame.image), read(blurred.image)
    (circle,) = faces_of(frame.instances[0], frame)
    rows, columns = np.ogrid[: SIZE_HW[0], : SIZE_HW[1]]
    inside = (columns - circle.x) ** 2 + (rows - circle.y) ** 2 <= circle.radius**2
    assert circle.radius >= 14
    np.testing.assert_array_equal(new[~inside], old[~inside])
    assert new[inside].std() < 0.5 * old[inside].std()


@pytest.mark.parametrize(("confidence", "circles"), [(0.0, 1), (0.3, 2), (0.5, 1)])
def test_where_the_points_are_uncertain_the_top_of_the_mask_is_blurred_too(
    confidence: float, circles: int, frame: DatasetFrame
) -> None:
    person = frame.instances[0]._replace(keypoints=standing(confidence=confidence))
    found = faces_of(person, frame)
    assert len(found) == circles
    if confidence < 0.5:
        top = found[-1]
        assert (top.x, top.y) == pytest.approx((59.5, 28.5))
        assert top.radius == pytest.approx(1 + np.hypot(29.5, 8.5))


def test_a_person_without_keypoints_is_refused_by_name(frame: DatasetFrame, tmp_path: Path) -> None:
    bare = frame._replace(instances=(frame.instances[0]._replace(keypoints=None),))
    with pytest.raises(ExportError, match=r"frame 1 \('0001.png'\), instance 1: no keypoints are stored"):
        list(blur_faces([bare], tmp_path))


def test_a_frame_without_people_keeps_its_image(frame: DatasetFrame, tmp_path: Path) -> None:
    dog = frame.instances[0]._replace(category="dog", keypoints=None)
    empty = frame._replace(instances=(dog,))
    assert list(blur_faces([empty], tmp_path / "none")) == [empty]
