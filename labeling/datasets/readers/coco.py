"""COCO annotations: records as instances, and files as ground truth, with masks or only with boxes."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image

from configs.errors import ConfigError, ModelOutputWrong
from labeling.datasets.readers.coco_categories import PERSON_ID, id_text, is_person, person_ids
from labeling.datasets.readers.coco_document import parse_document, require_annotations
from labeling.datasets.readers.coco_geometry import (
    GeometryCheck,
    has_mask,
    may_be_corners,
    read_box,
    read_segmentation,
    resolve_turned_size,
)
from labeling.datasets.readers.notes import ReaderNotes, RecordFault, ReportFault
from labeling.structures.images import open_image
from labeling.structures.instances import COCO_KEYPOINTS, Instance, Keypoints
from labeling.structures.masks import BoxXywh, Mask, fill_box, union_masks

TWICE = "annotations that are there twice, dropped"
_PER_KEYPOINT = 3
_SCORES = ("score", "confidence", "conf", "probability")
"""Names of a record's score: COCO's, and those that other tools write."""
_TURNED = range(5, 9)
"""EXIF orientations that exchange width and height."""
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image of a COCO file with its people."""

    file_name: str
    size_hw: tuple[int, int]
    people: tuple[Mask, ...]
    boxes: tuple[BoxXywh, ...] | None
    """One box per person if not all have a mask, which leaves `people` empty; None: all have."""
    ignored: Mask
    """Crowds, and regions with the flag `ignore`."""
    tracks: tuple[str | None, ...]
    """`track_id` of each person; with `VIDEO/` before it if the image has a `video_id`."""
    moment: tuple[str, int] | None = None
    """`video_id` and `t_ms` (time in ms), if the image has both, as `maskmill export coco` writes them."""
    path: Path | None = None
    """The image's file, if a folder of images was given."""
    image_id: str = ""
    annotations: tuple[str, ...] = ()
    """Ids of the annotations of `people`, or of `boxes`."""


def read_coco_file(
    path: Path,
    *,
    images: Path | None = None,
    person_category: Sequence[str] = (),
    notes: ReaderNotes | None = None,
    faults: ReportFault | None = None,
) -> Iterator[CocoImage]:
    """Yield the images of a COCO file with their people.

    An image that is not in the folder `images`, or one of whose records cannot be read, is left out and noted. What
    contradicts itself is an error, because it puts every other record in doubt. With `faults`, both cost only the record
    itself, which is reported to it.

    Raises:
        ModelOutputWrong: not a COCO file, no category of people, ids that match nothing or are not unique, or
            coordinates that contradict the image, `bbox` or `area`.
        ConfigError: an image is outside the folder.
    """
    try:
        tree = require_annotations(parse_document(path.read_bytes(), origin=str(path)), origin=str(path))
        records, annotations = list(tree["images"]), list(tree["annotations"])
        people = person_ids(tree.get("categories", []), origin=str(path), person_category=person_category)
        if faults is not None:
            annotations = list(_drop_faulty(records, annotations, faults))
        by_image = _group(path, records, annotations)
        persons = [one for one in annotations if is_person(one, people) and not is_crowd(one)]
        refuse_crowds_alone(persons, [one for one in annotations if is_person(one, people)], str(path))
        file = _CocoFile(
            path,
            people,
            not persons or any(map(has_mask, persons)),
            may_be_corners(annotations),
            notes,
            faults,
        )
        for record in records:
            image = file.read_image(record, by_image.get(id_text(record.get("id")), []), images)
            if image is not None:
                yield image
    except (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise ModelOutputWrong(
            f"{path} is not a COCO file with `images` and `annotations`: {exc!r}; export it again as COCO"
        ) from exc


def _drop_faulty(images: Sequence[Any], annotations: Sequence[Any], faults: ReportFault) -> Iterator[Any]:
    """Yield the annotations that belong to an image, and report the others."""
    known = {id_text(image.get("id")) for image in images}
    for number, record in enumerate(annotations):
        if not isinstance(record, Mapping):
            faults(RecordFault("", "", f"annotation {number} is {type(record).__name__}, not an object"))
        elif (image_id := id_text(record.get("image_id"))) not in known:
            message = f"no image has the id {image_id!r}"
            faults(RecordFault("", id_text(record.get("id")), message))
        else:
            yield record


def _group(path: Path, images: Sequence[Any], annotations: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the annotations by the id of their image, as text."""
    refuse_double_images(images, str(path))
    by_image: dict[str, list[Any]] = {}
    for record in annotations:
        by_image.setdefault(id_text(record.get("image_id")), []).append(record)
    refuse_orphans(by_image, [id_text(record.get("id")) for record in images], str(path))
    return by_image


def refuse_crowds_alone(persons: Sequence[Any], annotations: Sequence[Any], origin: str) -> None:
    """Raise `ModelOutputWrong` if there are annotations, and all of them are regions to ignore."""
    if annotations and not persons:
        raise ModelOutputWrong(
            f"{origin}: all {len(annotations)} annotations of people are regions to ignore (`iscrowd` or `ignore` is 1): "
            "write iscrowd: 0 for persons"
        )


def refuse_double_images(images: Sequence[Mapping[str, Any]], origin: str) -> None:
    """Raise `ModelOutputWrong` if two images have the same id, or one file has two."""
    for key in ("id", "file_name"):
        counts = Counter(id_text(image.get(key)) for image in images)
        double = next((value for value, number in counts.items() if number > 1), None)
        if double is not None:
            both = [image for image in images if id_text(image.get(key)) == double][:2]
            shown = " and ".join(f"{one.get('file_name')!r} (id {one.get('id')})" for one in both)
            raise ModelOutputWrong(
                f"{origin}: two images have the same {key}: {shown}; their annotations would be mixed: give each image "
                "one record and one id"
            )


def refuse_orphans(by_image: Mapping[str, Sequence[Any]], ids: Sequence[str], origin: str) -> None:
    """Raise `ModelOutputWrong` if annotations belong to no image."""
    known = set(ids)
    orphans = [image_id for image_id in by_image if image_id not in known]
    if orphans:
        number = sum(len(by_image[image_id]) for image_id in orphans)
        example = f"the first has image_id {orphans[0]!r}, the images have the ids {ids[:3]} ..."
        raise ModelOutputWrong(
            f"{origin}: {number} annotation{'s' * (number > 1)} belong{'s' * (number == 1)} to no image: {example}; "
            "correct the ids, or remove them"
        )


@dataclass(frozen=True, slots=True)
class _CocoFile:
    """What the images of a file share."""

    path: Path
    people: frozenset[str]
    has_masks: bool
    boxes_may_be_corners: bool
    notes: ReaderNotes | None
    faults: ReportFault | None = None

    def read_image(
        self, record: Mapping[str, Any], annotations: Sequence[Any], images: Path | None
    ) -> CocoImage | None:
        """Return an image with its people; None: it is left out, and noted or reported."""
        try:
            return self._read_image(record, annotations, images)
        except (ModelOutputWrong, KeyError, TypeError, ValueError) as exc:
            if self.faults is None:
                raise
            message = f"{exc.args[0]!r} is missing" if isinstance(exc, KeyError) else str(exc)
            self.faults(RecordFault(str(record.get("file_name")), "", message))
            return None

    def _read_image(
        self, record: Mapping[str, Any], annotations: Sequence[Any], images: Path | None
    ) -> CocoImage | None:
        name, size_hw = str(record.get("file_name")), (int(record["height"]), int(record["width"]))
        origin = f"{self.path}, image {name!r}"
        found = None
        if images is not None:
            found = locate_image(images, name)
            if found is None:
                self._note(f"images left out: not in {images}", f"image {name!r} is not in {images}")
                return None
            upright_hw = upright_size(found)
            size_hw = resolve_turned_size(size_hw, upright_hw, annotations, origin) if upright_hw else size_hw
        annotations = self._without_doubles(
            [one for one in annotations if is_person(one, self.people)], origin
        )
        if self.faults is not None:
            annotations = [one for one in annotations if self._is_sound(one, size_hw, name, self.faults)]
        try:
            regions = [self._read(one, size_hw, origin) for one in annotations]
        except ModelOutputWrong as exc:
            self._note("images left out: an annotation cannot be read", str(exc))
            return None
        check = GeometryCheck(size_hw, self.boxes_may_be_corners, self.notes)
        for one, region in zip(annotations, regions, strict=True):
            self._check(check, one, region, f"{origin}, annotation {one.get('id')!r}")
        image = _make_image(name, size_hw, record, annotations, regions)
        # in a file of boxes, the ground truth of an image without people is boxes too
        image = image if self.has_masks else replace(image, boxes=image.boxes or ())
        return replace(image, path=found)

    def _read(self, record: Mapping[str, Any], size_hw: tuple[int, int], origin: str) -> Mask:
        """Return the pixels of a person or a crowd, from its mask or its box."""
        name = f"{origin}, annotation {record.get('id')!r}"
        if not has_mask(record):
            return fill_box(read_box(record, name), size_hw)
        return read_segmentation(record.get("segmentation"), size_hw, name, self.notes)

    def _is_sound(
        self, record: Mapping[str, Any], size_hw: tuple[int, int], image: str, faults: ReportFault
    ) -> bool:
        """Return whether a record can be read and does not contradict itself; otherwise report it."""
        quiet, name = replace(self, notes=None), f"annotation {record.get('id')!r}"
        check = GeometryCheck(size_hw, self.boxes_may_be_corners)
        try:
            region = quiet._read(record, size_hw, image)
            quiet._check(check, record, region, name)
        except ModelOutputWrong as exc:
            faults(RecordFault(image, id_text(record.get("id")), str(exc)))
            return False
        return True

    @staticmethod
    def _check(check: GeometryCheck, record: Mapping[str, Any], region: Mask, name: str) -> None:
        if has_mask(record):
            check.check_mask(record, region, name)
        else:
            check.check_box(read_box(record, name), name)

    def _without_doubles(self, annotations: Sequence[Any], origin: str) -> list[Any]:
        """Leave out annotations that are the same as another one of the image, except for their id."""
        kept: dict[str, Any] = {}
        for one in annotations:
            key = json.dumps(
                [one.get(part) for part in ("segmentation", "bbox", "track_id", "iscrowd", "ignore")]
            )
            if kept.setdefault(key, one) is not one:
                self._note(TWICE, f"{origin}, annotation {one.get('id')!r}")
        return list(kept.values())

    def _note(self, reason: str, example: str) -> None:
        if self.notes is not None:
            self.notes.add(reason, example)


def _make_image(
    name: str,
    size_hw: tuple[int, int],
    record: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    regions: Sequence[Mask],
) -> CocoImage:
    pairs = list(zip(annotations, regions, strict=True))
    persons = [(one, region) for one, region in pairs if not is_crowd(one) and region]
    ignored = union_masks([region for one, region in pairs if is_crowd(one)], size_hw)
    # whether masks are known does not depend on people without a pixel
    is_masked = all(has_mask(one) for one in annotations if not is_crowd(one))
    boxes = [region.box_xywh if has_mask(one) else read_box(one, name) for one, region in persons]
    # some files count tracks per video
    video = "" if record.get("video_id") is None else f"{record['video_id']}/"
    ids = [one.get("track_id") for one, _ in persons]
    return CocoImage(
        name,
        size_hw,
        tuple(region for _, region in persons) if is_masked else (),
        None if is_masked else tuple(boxes),
        ignored,
        tuple(None if number is None else f"{video}{number}" for number in ids),
        _read_moment(record),
        image_id=id_text(record.get("id")),
        annotations=tuple(id_text(one.get("id")) for one, _ in persons),
    )


def _read_moment(record: Mapping[str, Any]) -> tuple[str, int] | None:
    video, time_ms = record.get("video_id"), record.get("t_ms")
    is_time = isinstance(time_ms, int) and not isinstance(time_ms, bool)
    return None if video is None or not is_time else (str(video), int(time_ms or 0))


def locate_image(images: Path, file_name: str) -> Path | None:
    r"""Return the file of an image, whose name may have `\`, `%20`, or folders that are not there; None: no such file.

    Raises:
        ConfigError: it is outside the folder.
    """
    plain = file_name.replace("\\", "/")
    names = dict.fromkeys((file_name, plain, unquote(plain), Path(plain).name, Path(unquote(plain)).name))
    for name in names:
        try:
            path = (images / name).resolve()
            is_file = bool(name) and path.is_file()
        except (OSError, ValueError):  # no file has such a name: too long, a NUL, half a pair of surrogates
            continue
        if not path.is_relative_to(images.resolve()):
            raise ConfigError(f"coco: {file_name!r} is outside {images}: refused")
        if is_file:
            return path
    return None


def upright_size(path: Path) -> tuple[int, int] | None:
    """Return height and width with the EXIF orientation applied, from the file's header; None: not readable."""
    try:
        with open_image(path) as image:
            width, height = image.size
            is_turned = image.getexif().get(_ORIENTATION) in _TURNED
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return (width, height) if is_turned else (height, width)


def is_crowd(record: Mapping[str, Any]) -> bool:
    """Return whether a record is a region to ignore: `iscrowd` or `ignore` is set."""
    return any(str(record.get(flag)).casefold() in {"1", "1.0", "true"} for flag in ("iscrowd", "ignore"))


def read_coco_records(  # noqa: PLR0913 - keyword-only options
    records: Sequence[Any],
    size_hw: tuple[int, int],
    *,
    origin: str,
    people: frozenset[str] = frozenset({PERSON_ID}),
    min_score: float = 0.0,
    notes: ReaderNotes | None = None,
) -> list[Instance]:
    """Return the instances of one image's COCO results or annotations; the default score is 1.

    Records of other categories, crowds (`iscrowd`, `ignore`), scores below `min_score` and empty masks are left out. A
    visibility of 1 or 2 is a confidence of 1; a fraction is a confidence.

    Raises:
        ModelOutputWrong: a record cannot be read, or contradicts itself.
    """
    found, seen = [], set[str]()
    check = GeometryCheck(size_hw, may_be_corners(records), notes)
    for number, record in enumerate(records):
        name = f"{origin}, record {number}"
        if not isinstance(record, Mapping):
            raise ModelOutputWrong(f"{name}: a COCO record is an object, this is {type(record).__name__}")
        if not is_person(record, people) or is_crowd(record):
            continue
        content = json.dumps({key: value for key, value in record.items() if key != "id"}, default=str)
        if content in seen:
            if notes is not None:
                notes.add(TWICE, name)
            continue
        seen.add(content)
        score = read_score(record, name)
        if score < min_score:
            continue
        mask = read_segmentation(record.get("segmentation"), size_hw, name, notes)
        check.check_mask(record, mask, name)
        if mask:
            found.append(Instance(mask, score, mask.box_xywh, _read_keypoints(record, name)))
    return found


def _read_keypoints(record: Mapping[str, Any], origin: str) -> Keypoints | None:
    """Return COCO's 17 keypoints; None without any, or for another number of them."""
    values = record.get("keypoints")
    if not isinstance(values, list) or len(values) != _PER_KEYPOINT * len(COCO_KEYPOINTS):
        return None
    try:
        points = np.asarray(values, dtype=np.float64).reshape(-1, _PER_KEYPOINT)
    except (TypeError, ValueError) as exc:
        raise ModelOutputWrong(f"{origin}: keypoints are not numbers: {exc}") from exc
    if not np.isfinite(points).all():
        raise ModelOutputWrong(f"{origin}: keypoints are not finite numbers")
    return tuple((float(x), float(y), float(min(max(seen, 0.0), 1.0))) for x, y, seen in points)


def read_score(record: Mapping[str, Any], origin: str) -> float:
    """Return the score, also by another usual name; 1 if there is none.

    Raises:
        ModelOutputWrong: it is not a number from 0 to 1.
    """
    score = next((record[name] for name in _SCORES if name in record), 1.0)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ModelOutputWrong(f"{origin}: score {score!r} is not a number from 0 to 1")
    return float(score)
