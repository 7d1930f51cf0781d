"""Annotations made from rows have the bytes of those made from instances."""

import pytest

from configs.errors import ExportError
from labeling.datasets.formats.coco import AnnotationMaker
from labeling.datasets.formats.coco_parts import make_part
from labeling.datasets.mask_rows import FramePage, MaskRow, instance_of_row, is_doubtful
from labeling.datasets.records import DatasetFrame
from labeling.structures.masks import Mask
from tests.labeling.datasets.frames import SIZE_HW, image_of, rectangle

CATEGORIES = ("person", "dog")
MODELS = {"m": "lite:é", "n": "other"}
POINTS = "[" + ",".join(f"[{3.5 * k - 1}, {2 * k}.125, 0.{k:02}]" for k in range(17)) + "]"


def row(  # noqa: PLR0913  # the columns
    frame_id: int,
    number: int,
    *,
    mask: Mask | None = None,
    score: float = 0.75,
    points: str | None = None,
    model: str = "m",
    refined_by: str | None = None,
    track_id: int | None = None,
    category: str = "person",
    decision: str | None = None,
) -> MaskRow:
    mask = Mask.from_array(rectangle(number % 7, 3, 9, 11 + number % 5)) if mask is None else mask
    x, y, w, h = mask.box_xywh
    box = (x - 0.125, y + 0.375, w + 0.005, h)
    iou_before = 0.8 if refined_by else None
    about = (points, model, refined_by, iou_before, track_id, category, decision)
    return (frame_id, number, mask.counts, mask.area_px, x, y, w, h, score, *box, *about)


ROWS = [
    row(1, 11),
    row(1, 12, points=POINTS, track_id=4, score=1e-05),
    row(1, 13, mask=Mask.empty(SIZE_HW)),
    row(2, 21, refined_by="grabcut", track_id=5, category="dog", model="n"),
    row(2, 22, points="[[1, 2, NaN]" + ", [1, 2, 0.9]" * 16 + "]", decision="accepted"),
]


def frames() -> list[DatasetFrame]:
    return [image_of(number, SIZE_HW) for number in (2, 3, 1)]


def test_rows_have_the_bytes_of_instances() -> None:
    made = make_part([FramePage(frames(), ROWS, MODELS)], CATEGORIES)
    maker = AnnotationMaker(CATEGORIES)
    with_instances = [
        frame._replace(
            instances=tuple(instance_of_row(one, SIZE_HW, MODELS) for one in ROWS if one[0] == frame.id)
        )
        for frame in frames()
    ]
    records, with_pose = maker.make(with_instances)
    assert made.instances == b",\n".join(records)
    assert made.people == b",\n".join(with_pose)
    assert (len(records), len(with_pose)) == (4, 2)
    assert made.frames == frames()
    assert made.check.close(files=3) == maker.check.close(files=3)


def test_a_frame_with_instances_keeps_its_place() -> None:
    objects = image_of(2, SIZE_HW)._replace(
        instances=(instance_of_row(row(2, 21, decision="review"), SIZE_HW, MODELS),)
    )
    made = make_part([FramePage([image_of(1, SIZE_HW), objects], ROWS[:2], MODELS)], CATEGORIES)
    assert [one.partition(b',"')[0] for one in made.instances.split(b",\n")] == [
        b'{"id":11',
        b'{"id":12',
        b'{"id":21',
    ]
    assert made.check.ignored_regions == 1
    assert all(frame.instances == () for frame in made.frames)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (row(1, 0), "frame 1 .*instance 0: the id"),
        (row(1, 5, score=float("nan")), "instance 5: the score is nan"),
        (row(1, 5, points="[[1, 2, 0.9]]"), "instance 5: 1 keypoint, COCO"),
        (row(1, 5, category="cat"), "instance 5 is of category 'cat'"),
    ],
)
def test_a_wrong_row_is_refused_by_name(wrong: MaskRow, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        make_part([FramePage(frames(), [wrong], MODELS)], CATEGORIES)


def test_decisions_about_a_person_are_doubtful_but_accepted() -> None:
    found = [is_doubtful(row(1, 1, decision=one)) for one in (None, "accepted", "review", "ignored")]
    assert found == [False, False, True, True]
