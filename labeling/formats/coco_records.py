"""COCO's annotation records, written as JSON at once: a quarter of what a dictionary for each and an encoder take."""

from functools import lru_cache

from labeling.formats.dataset import DatasetFrame, DatasetInstance
from labeling.formats.origins import to_json
from labeling.instances import Keypoints

VISIBLE_FROM = 0.5
"""Confidence from which a keypoint is written as visible (v = 2); the pose rules' own default."""

LABELLED_FROM = 0.2
"""Confidence from which a keypoint is written at all (v = 1: there, but hidden or in doubt)."""

_HEAD = b'{"id":%d,"image_id":%d,"category_id":1,"iscrowd":0,"area":%d,"bbox":[%d,%d,%d,%d],"segmentation":'
_RLE = b'{"size":[%d,%d],"counts":"%b"}'
_TAIL = b',"model":%b,"score":%a,"reviewer":%b,"detector_bbox":[%.2f,%.2f,%.2f,%.2f]}'
"""Floats are written as Python does: the score in full, others to hundredths of a pixel."""
_WITH_RLE, _WITH_OTHER = _HEAD + _RLE + _TAIL, _HEAD + b"%b" + _TAIL


def annotation_record(frame: DatasetFrame, one: DatasetInstance) -> bytes:
    """One person's record, the mask as COCO's compressed RLE; all numbers must be finite (`check_frame`)."""
    number, mask, area_px, tight, score, box, _, model, reviewer = one
    rle = (
        *mask.size_hw,
        mask.counts.replace(b"\\", b"\\\\"),
    )  # of what JSON escapes, it has the backslash alone
    about = _word(model), score, _word(reviewer)
    return _WITH_RLE % (number, frame.id, area_px, *tight, *rle, *about, *box)


def record_with_polygons(frame: DatasetFrame, one: DatasetInstance, polygons: list[list[int]]) -> bytes:
    """The same with the outer outlines of the mask's parts (`[x1, y1, x2, y2, ...]`)."""
    segmentation = to_json(polygons).encode("ascii")
    about = _word(one.model), one.score, _word(one.reviewer)
    return _WITH_OTHER % (
        *(one.id, frame.id, one.area_px, *one.tight_xywh),
        *(segmentation, *about, *one.box_xywh),
    )


def with_keypoints(record: bytes, keypoints: Keypoints, size_hw: tuple[int, int]) -> bytes:
    """The record with COCO's 17 x (x, y, v): v is 2 from `VISIBLE_FROM` on, 1 from `LABELLED_FROM` on; below
    that, and for a point outside the picture, all three are 0."""
    height, width = size_hw
    triples = [
        b"%.2f,%.2f,%d" % (x, y, 1 + (confidence >= VISIBLE_FROM))
        if confidence >= LABELLED_FROM and 0 <= x < width and 0 <= y < height
        else b""
        for x, y, confidence in keypoints
    ]
    written = sum(map(bool, triples))
    points = b",".join(triple or b"0,0,0" for triple in triples)
    return b'%b,"num_keypoints":%d,"keypoints":[%b]}' % (record[:-1], written, points)


@lru_cache(maxsize=1024)
def _word(text: str | None) -> bytes:
    """The few models and reviewers of a dataset, as JSON."""
    return to_json(text).encode("ascii")
