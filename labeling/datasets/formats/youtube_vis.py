"""YouTube-VIS format: `annotations/youtube_vis.json` and `images/` (Yang, Fan and Xu, ICCV 2019)."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

from labeling.datasets.category_numbers import CategoryNumbers
from labeling.datasets.formats.coco_lists import Licenses, RecordList
from labeling.datasets.formats.sequences import SequenceNames, TrackNumbers
from labeling.datasets.provenance import describe_origin, to_json
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportSummary
from labeling.datasets.staging import export_errors
from labeling.datasets.writing import WriteOptions, open_dataset
from labeling.structures.masks import Mask

_OF_FRAME = ("t_ms", "decision")
"""Fields of a frame's origin that differ within a video."""


def write_youtube_vis(
    frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write one annotation per track: a list with its mask in each frame of the video, null where it is absent.

    The masks of one video are kept in memory until it ends. Besides the format's own fields, a video has its
    origin and, per frame, `frame_ids`, `times_ms` and `decisions`; an annotation has `track_id` and, per frame,
    `instance_ids` and `scores`. An image without a time is a video of one frame.
    """
    with (
        open_dataset(folder, entries=("annotations", "images"), **options) as dataset,
        _VideoFile(dataset.folder, CategoryNumbers(dataset.categories)) as file,
    ):
        names = SequenceNames()
        for frame in frames:
            file.add(names.name_of(frame), frame, dataset.check.admit(frame))
            dataset.place_image(frame)
        file.finish()
        return dataset.close(files=dataset.check.frames + 1)


class _VideoFile:
    """The annotation file. Annotations are written when their video ends; the records of the videos wait in an
    unnamed temporary file, because the file ends with them."""

    def __init__(self, staging: Path, categories: CategoryNumbers) -> None:
        self._categories = categories
        self._licenses = Licenses()
        self._video: _Video | None = None
        self._videos_count = 0
        self._tracks_count = 0
        with export_errors(staging):
            (staging / "annotations").mkdir()
            path = staging / "annotations" / "youtube_vis.json"
            self._annotations = RecordList(path.open("w+b"), staging)
            unnamed = tempfile.TemporaryFile(dir=staging)  # noqa: SIM115 - closed with this object
            self._videos = RecordList(unnamed, staging)

    def __enter__(self) -> Self:
        info = to_json({"description": "People in frames of video, labeled with maskmill."})
        categories = to_json(
            [{"id": id, "name": name, "supercategory": name} for name, id in self._categories.items()]
        )
        self._annotations.write(
            f'{{"info": {info},\n"categories": {categories},\n"annotations": [\n'.encode("ascii")
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._annotations.close()
        self._videos.close()

    def add(self, name: str, frame: DatasetFrame, instances: Sequence[DatasetInstance]) -> None:
        if self._video is None or self._video.name != name:
            self._end_video()
            self._videos_count += 1
            self._video = _Video(name, self._videos_count, self._licenses.number(frame), frame)
        self._video.add(frame, instances)

    def finish(self) -> None:
        """Write the end of the file."""
        self._end_video()
        self._annotations.write(b'\n],\n"videos": [\n')
        self._videos.pour(self._annotations)
        licenses = to_json(self._licenses.records())
        self._annotations.write(f'\n],\n"licenses": {licenses}}}\n'.encode("ascii"))

    def _end_video(self) -> None:
        if self._video is None:
            return
        self._videos.add([to_json(self._video.record()).encode("ascii")])
        for track in self._video.tracks(self._categories):
            self._tracks_count += 1
            self._annotations.add([to_json({"id": self._tracks_count, **track}).encode("ascii")])
        self._video = None


class _Video:
    """The frames and tracks of one video."""

    def __init__(self, name: str, number: int, license: int, first: DatasetFrame) -> None:
        self.name = name
        self._number, self._license, self._first = number, license, first
        self._frames: list[tuple[str, int, int | None, str]] = []
        self._numbers = TrackNumbers()
        self._tracks: list[dict[int, DatasetInstance]] = []
        """Of each track, the instance by position of its frame."""

    def add(self, frame: DatasetFrame, instances: Sequence[DatasetInstance]) -> None:
        position = len(self._frames)
        self._frames.append((frame.file_name, frame.id, frame.pts_ms, frame.decision))
        numbers = self._numbers.number(instances)
        self._tracks += [{} for _ in range(self._numbers.count - len(self._tracks))]
        for number, one in zip(numbers, instances, strict=True):
            self._tracks[number - 1][position] = one

    def record(self) -> dict[str, Any]:
        height, width = self._first.size_hw
        file_names, ids, times_ms, decisions = (list(column) for column in zip(*self._frames, strict=True))
        origin = describe_origin(self._first)
        return {
            "id": self._number,
            "name": self.name,
            "width": width,
            "height": height,
            "length": len(self._frames),
            "file_names": file_names,
            "license": self._license,
            **{key: value for key, value in origin.items() if key not in _OF_FRAME},
            "frame_ids": ids,
            "times_ms": times_ms,
            "decisions": decisions,
        }

    def tracks(self, categories: CategoryNumbers) -> Iterable[dict[str, Any]]:
        """Yield the annotations, without their ids."""
        height, width = self._first.size_hw
        for track in self._tracks:
            found = [track.get(position) for position in range(len(self._frames))]
            record = {
                "video_id": self._number,
                "category_id": categories.number(next(iter(track.values()))),
                "iscrowd": 0,
                "width": width,
                "height": height,
                "length": len(track),
                "segmentations": [None if one is None else _rle(one.mask) for one in found],
                "bboxes": [None if one is None else one.tight_xywh for one in found],
                "areas": [None if one is None else one.area_px for one in found],
                "instance_ids": [None if one is None else one.id for one in found],
                "scores": [None if one is None else one.score for one in found],
            }
            track_id = next(iter(track.values())).track_id
            yield record if track_id is None else {**record, "track_id": track_id}


def _rle(mask: Mask) -> dict[str, Any]:
    return {"size": mask.size_hw, "counts": mask.counts.decode("ascii")}
