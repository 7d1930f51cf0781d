"""What identifies the content of a dataset version: SHA-256 over canonical JSON.

Ids of instances are left out: two runs that give the same masks give the same content.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import orjson

from labeling.datasets.provenance import to_json
from labeling.datasets.records import DatasetFrame, DatasetInstance

LABELS_DIGITS = 32
"""Of the id of a frame's labels: 128 bits."""
_FORMAT = b"maskmill dataset 1\n"


@dataclass(frozen=True, slots=True)
class VideoCredit:
    """A video of a version, with its credit as it was when the version was made."""

    video_id: str
    file_name: str
    """Of the video or its folder."""
    kind: str | None = None
    """Of its source; None: no source is recorded."""
    spec: str | None = None
    url: str | None = None
    title: str | None = None
    uploader: str | None = None
    license: str | None = None
    """As stated by the origin; None: not stated."""
    upload_date: str | None = None


def labels_id(frame: DatasetFrame, key: int, image: str, reviewer: str | None) -> str:
    """Return the id of a frame's labels. `key` is its `frame_key`, `image` its name in the database."""
    content = [
        *(frame.video_id, key, image, list(frame.size_hw), frame.decision, reviewer),
        *(list(frame.propagated_from), [_canonical(instance) for instance in frame.instances]),
    ]
    return hashlib.sha256(orjson.dumps(content)).hexdigest()[:LABELS_DIGITS]


def _canonical(instance: DatasetInstance) -> list[object]:
    return [
        *(instance.category, instance.mask.counts.decode("ascii"), instance.score, list(instance.box_xywh)),
        *(instance.keypoints, instance.model, instance.origin, instance.reviewer),
        *(instance.refined_by, instance.iou_before, instance.track_id),
    ]


def snapshot_id(videos: Iterable[VideoCredit], labels: Iterable[str]) -> str:
    """Return the id of a version's content: its videos by id, then its frames' labels by video and time."""
    digest = hashlib.sha256(_FORMAT)
    for video in sorted(videos, key=lambda one: one.video_id):
        digest.update(to_json(asdict(video)).encode("ascii") + b"\n")
    for one in labels:
        digest.update(one.encode("ascii") + b"\n")
    return digest.hexdigest()
