"""Masks made elsewhere, for example on a device: a folder of PNG images, or a COCO file.

The mask of a frame:

| frame | in a folder | in a COCO file, `file_name` (any suffix) |
|---|---|---|
| image `cat.jpg` of a folder | `cat.png`, `cat_mask.png` or `cat.jpg.png` | `cat`, in any folder; or `image_id` `cat` |
| image `000123.jpg` | `000123.png` | as above; or `image_id` 123 |
| video `1f0c...`, 2.5 s | `1f0c.../2500.png` or `1f0c..._2500.png` | `1f0c.../2500` or `1f0c..._2500` |

A video is named by its SHA-256 or at least the first 8 digits; the longest matching name counts.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote

from configs.errors import AnnotationsContradict, ConfigError, ModelOutputWrong
from configs.segmenters import MasksFolderBlock
from labeling.datasets.readers.coco import (
    is_crowd,
    read_coco_records,
    read_score,
    refuse_crowds_alone,
    refuse_double_images,
    refuse_orphans,
)
from labeling.datasets.readers.coco_categories import (
    id_text,
    is_person,
    person_ids,
    refuse_other_categories,
)
from labeling.datasets.readers.coco_document import parse_document
from labeling.datasets.readers.coco_geometry import (
    has_mask,
    read_segmentation,
    resolve_turned_size,
    turn_to_fit,
)
from labeling.datasets.readers.inverted import CHECKED_MASKS, refuse_inverted
from labeling.datasets.readers.label_images import read_label_image
from labeling.datasets.readers.mask_names import mask_names, name_examples
from labeling.datasets.readers.masks import read_label_png
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.sources.file_types import is_image_name
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.text.figures import count_of

_VIDEO_NAME = re.compile(r"([0-9a-f]{8,64})(?:[_/](\d+))?")
"""A video's SHA-256 or its first digits, alone or with a time in ms."""
_IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_CHECKED_RECORDS = 100
"""Records of a COCO file that are read when it is opened, so that a file of another kind is refused at once."""
_LARGEST_SIDE_PX = 2**15


class _MaskSource(Protocol):
    sha256: str

    def find(self, frame: Frame) -> list[Instance] | None:
        """Return the instances of a frame; None if it has no entry."""
        ...

    def has_image(self, name: str) -> bool:
        """Return whether there is an entry for an image of this name."""
        ...

    def has_video(self, video_id: str) -> bool: ...

    def names(self) -> Iterator[str]:
        """Yield the names of the entries."""
        ...

    def describe(self) -> str:
        """Return in a few words what the masks were taken for."""
        ...


class MasksFolderSegmenter(StatelessSegmenter):
    """Looks up the masks that another program made.

    Raises:
        ConfigError: the folder or file does not exist, or is not COCO's JSON, or a COCO file that contradicts itself.
    """

    def __init__(self, block: MasksFolderBlock) -> None:
        self._block = block
        if not block.path.exists():
            raise ConfigError(
                f"masks_folder: {block.path} does not exist: set path to a folder or a COCO .json file"
            )
        self._masks: _MaskSource = _Folder(block.path) if block.path.is_dir() else _CocoFile(block)

    @property
    def card(self) -> ModelCard:
        block = self._block
        settings: dict[str, Any] = {"missing": block.missing}
        if not block.path.is_dir():
            settings |= {"min_score": block.min_score, "person_category": list(block.person_category)}
        return ModelCard(
            kind=block.kind,
            name=block.path.name,
            weights_sha256=self._masks.sha256,
            settings=json.dumps(settings, separators=(",", ":")),
            sees_mirrored=False,
        )

    def describe(self) -> str:
        """Return in a few words what the masks were taken for."""
        return self._masks.describe()

    def prepare(self, clip: Clip) -> "MasksFolderSegmenter":
        """Check that the masks belong to this clip.

        Raises:
            ModelOutputWrong: no frame of the clip can have a mask, by the names of both sides.
        """
        if clip.is_temporal:
            self._check_video(clip)
        elif clip.images:
            self._check_images(clip)
        return self

    def _check_video(self, clip: Clip) -> None:
        if not self._masks.has_video(clip.video_id):
            raise ModelOutputWrong(
                f"masks_folder: {self._block.path} has no mask of video {clip.video_id[:12]} "
                f"({clip.path.name if clip.path else ''}); there: {name_examples(self._masks.names())}. Name a mask by "
                f"the first digits of the video's SHA-256 and the time in ms, such as {clip.video_id[:12]}_2500"
            )

    def _check_images(self, clip: Clip) -> None:
        """Compare the names of the clip's images; if none has a mask, those of all images of its folder."""
        names = [image.name for image in clip.images]
        if any(map(self._masks.has_image, names)):
            return
        folder = clip.images[0].path.parent
        others = (path.name for path in folder.iterdir()) if folder.is_dir() else iter(())
        is_renamed = any(image.original_name not in {"", image.path.name} for image in clip.images)
        if is_renamed or any(is_image_name(name) and self._masks.has_image(name) for name in others):
            return  # the frames of this part of a larger set show no person
        raise ModelOutputWrong(
            f"masks_folder: {self._block.path} has a mask for none of the images {name_examples(names)}; there: "
            f"{name_examples(self._masks.names())}. Give masks the names of the images: of cat.jpg cat.png, "
            "cat_mask.png or cat.jpg.png (PNG only), in a COCO file the file_name or image_id cat"
        )

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Look up each frame; `missing` of the block defines what a frame without a mask means.

        Raises:
            ModelOutputWrong: a mask is unreadable, has another size than its frame, or is missing.
        """
        return [self._segment_frame(frame) for frame in frames]

    def _segment_frame(self, frame: Frame) -> list[Instance]:
        instances = self._masks.find(frame)
        if instances is None and self._block.missing == "error":
            raise ModelOutputWrong(
                f"masks_folder: {self._block.path} has no mask for {_describe(frame)}: add it, or set "
                "missing: empty if a frame without a mask shows no person"
            )
        return instances or []


class _Folder:
    """PNG images by name."""

    sha256 = ""

    def __init__(self, path: Path) -> None:
        self._root = path.resolve()
        refuse_inverted(self._sample(), origin=f"masks_folder: {path}")
        self._videos = _video_names(entry.stem for entry in self._root.iterdir())

    def _sample(self) -> Iterator[Path]:
        """Yield the first masks."""
        files = (path for path in self._root.rglob("*") if path.suffix.lower() == ".png" and path.is_file())
        return islice(files, CHECKED_MASKS)

    def find(self, frame: Frame) -> list[Instance] | None:
        for name in self._candidates(frame):
            path = (self._root / name).resolve()
            if not path.is_relative_to(self._root):
                raise ModelOutputWrong(f"masks_folder: {name!r} is outside of {self._root}: rename the image")
            if path.is_file():
                return read_label_png(path.read_bytes(), frame.size_hw, origin=f"masks_folder: {path}")
        return None

    def _candidates(self, frame: Frame) -> list[str]:
        if frame.name:
            return mask_names(frame.name)
        return [
            f"{name}{suffix}" for name in _timed_names(frame, self._videos) for suffix in (".png", ".PNG")
        ]

    def has_image(self, name: str) -> bool:
        return any((self._root / candidate).exists() for candidate in mask_names(name))

    def has_video(self, video_id: str) -> bool:
        return any(video_id.startswith(name) for name in self._videos)

    def names(self) -> Iterator[str]:
        return (entry.name for entry in sorted(self._root.iterdir()))

    def describe(self) -> str:
        first = next((path for path in sorted(self._root.rglob("*")) if path.suffix.lower() == ".png"), None)
        if first is None:
            return "no PNG image in the folder"
        kind = read_label_image(first.read_bytes(), origin=f"masks_folder: {first}", formats=("PNG",)).kind
        return f"{first.name} is read as {kind}"


class _CocoFile:
    """Records of a COCO results list or annotation file, by image name."""

    def __init__(self, block: MasksFolderBlock) -> None:
        self._path, self._min_score = block.path, block.min_score
        text = block.path.read_bytes()
        self.sha256 = hashlib.sha256(text).hexdigest()
        try:
            tree = parse_document(text, origin=self._origin)
        except ModelOutputWrong as exc:
            raise ConfigError(str(exc)) from exc
        records, images = self._split(tree)
        categories = tree.get("categories", []) if isinstance(tree, dict) else []
        self._sizes_hw: dict[str, tuple[int, int]] = {}
        self._records: dict[str, list[Any]] = {}
        try:
            self._people = person_ids(categories, origin=self._origin, person_category=block.person_category)
            self._index(records, images)
            if not categories:
                refuse_other_categories(records, self._people, origin=self._origin)
            self._check_records()
        except ModelOutputWrong as exc:
            raise ConfigError(str(exc)) from exc
        self._by_stem: dict[str, set[str]] = defaultdict(set)
        for name in self._records:
            self._by_stem[name.rpartition("/")[2]].add(name)
        self._videos = _video_names(name.lstrip("/") for name in self._records)

    @property
    def _origin(self) -> str:
        return f"masks_folder: {self._path}"

    def find(self, frame: Frame) -> list[Instance] | None:
        name = self._find_name(frame)
        if name is None:
            return None
        origin, records = f"{self._origin}, image {name!r}", self._records[name]
        if name in self._sizes_hw:
            resolve_turned_size(self._sizes_hw[name], frame.size_hw, records, origin)
        return self._read(records, frame.size_hw, origin)

    def _read(self, records: Sequence[Any], size_hw: tuple[int, int], origin: str) -> list[Instance]:
        return read_coco_records(
            records, size_hw, origin=origin, people=self._people, min_score=self._min_score
        )

    def has_image(self, name: str) -> bool:
        return bool(self._names_of(name))

    def has_video(self, video_id: str) -> bool:
        return any(video_id.startswith(name) for name in self._videos)

    def names(self) -> Iterator[str]:
        return iter(self._records)

    def describe(self) -> str:
        records = sum(map(len, self._records.values()))
        return f"{count_of(records, 'record')} of {count_of(len(self._records), 'image')}, people are category {', '.join(sorted(self._people))}"

    def _split(self, tree: Any) -> tuple[list[Any], list[Any]]:
        if isinstance(tree, list):
            return tree, []
        if isinstance(tree, dict) and isinstance(tree.get("annotations"), list):
            images = tree.get("images", [])
            return tree["annotations"], images if isinstance(images, list) else []
        keys = (
            f", its keys are {', '.join(list(map(str, tree))[:5])}" if isinstance(tree, dict) and tree else ""
        )
        raise ConfigError(
            f"masks_folder: {self._path} is not COCO{keys}: it must be a list of results, or an object with "
            "`images` and `annotations`"
        )

    def _index(self, records: Sequence[Any], images: Sequence[Any]) -> None:
        """Sort the records by the name of their image."""
        names = self._index_images(images)
        orphans: dict[str, list[Any]] = defaultdict(list)
        for record in records:
            name = self._name_record(record, names)
            if name is None:
                orphans[id_text(record.get("image_id"))].append(record)
            else:
                self._records.setdefault(name, []).append(record)
        refuse_orphans(orphans, [*names], self._origin)

    def _index_images(self, images: Iterable[Any]) -> dict[str, str]:
        """Return image names by id, and register each image: without annotations it shows no person."""
        names: dict[str, str] = {}
        for image in images:
            if not isinstance(image, Mapping) or not isinstance(image.get("file_name"), str):
                raise ConfigError(f"masks_folder: {self._path}: an image has no file_name, add it: {image!r}")
            name = names[id_text(image.get("id"))] = _without_suffix(image["file_name"])
            self._records[name] = []
            if isinstance(image.get("height"), int) and isinstance(image.get("width"), int):
                self._sizes_hw[name] = (image["height"], image["width"])
        refuse_double_images([*images], self._origin)
        return names

    def _name_record(self, record: Any, names: Mapping[str, str]) -> str | None:
        """Return the name of a record's image; None: its id is not that of an image."""
        if isinstance(record, Mapping):
            if isinstance(record.get("file_name"), str):
                return _without_suffix(record["file_name"])
            if record.get("image_id") is not None:
                image_id = id_text(record["image_id"])
                return names.get(image_id) if names else _without_suffix(image_id)
        raise ConfigError(
            f"masks_folder: {self._path}: a record has no image, add a file_name or an image_id "
            f"among `images`: {str(record)[:120]}"
        )

    def _check_records(self) -> None:
        """Read the first records as far as that is possible without their frames, and check the scores of all.

        A record that cannot be read costs its frame only, unless none of these can; a contradiction is an error.
        """
        everybody = [
            one for of_image in self._records.values() for one in of_image if is_person(one, self._people)
        ]
        refuse_crowds_alone([one for one in everybody if not is_crowd(one)], everybody, self._origin)
        checked, highest = 0, -1.0
        unreadable: list[ModelOutputWrong] = []
        for name, records in self._records.items():
            people = [one for one in records if is_person(one, self._people) and not is_crowd(one)]
            origin = f"{self._origin}, image {name!r}"
            highest = max([highest, *(read_score(one, origin) for one in people)])
            for one in people if checked < _CHECKED_RECORDS else ():
                checked += 1
                try:
                    self._check_record(name, one, origin)
                except AnnotationsContradict:
                    raise
                except ModelOutputWrong as exc:
                    unreadable.append(exc)
        if unreadable and len(unreadable) == checked:
            raise unreadable[0]
        if 0 <= highest < self._min_score:
            raise ModelOutputWrong(
                f"{self._origin}: no record has a score of min_score {self._min_score:g} or more, the highest is "
                f"{highest:g}: set a lower min_score"
            )

    def _check_record(self, name: str, record: Mapping[str, Any], origin: str) -> None:
        """Read a record if a size is known: that of its RLE, or its image's."""
        segmentation, known = record.get("segmentation"), self._sizes_hw.get(name)
        size = segmentation.get("size") if isinstance(segmentation, Mapping) else known
        is_size = isinstance(size, list | tuple) and all(isinstance(one, int) for one in size)
        if not size and not has_mask(record):
            read_segmentation(segmentation, (1, 1), origin)
        if is_size and size and 0 < max(size) <= _LARGEST_SIDE_PX:
            self._read([record], turn_to_fit((size[0], size[-1]), [record]), origin)

    def _find_name(self, frame: Frame) -> str | None:
        if not frame.name:
            candidates = _timed_names(frame, self._videos)
            return next((name for name in candidates if name in self._records), None)
        found = self._names_of(frame.name)
        if len(found) > 1:
            stem = PurePosixPath(_without_suffix(frame.name)).name
            raise ModelOutputWrong(
                f"masks_folder: {self._path} has {len(found)} images named {stem!r} ({sorted(found)[:3]}); "
                "give them different names"
            )
        return next(iter(found)) if found else None

    def _names_of(self, image_name: str) -> set[str]:
        """Return the entries that an image's name can stand for."""
        full_name = _without_suffix(image_name)
        if full_name in self._records:
            return {full_name}
        stem = PurePosixPath(full_name).name
        found = self._by_stem.get(stem)
        return found or (self._by_stem.get(str(int(stem)), set()) if stem.isdecimal() else set())


def _without_suffix(file_name: str) -> str:
    """Remove the suffix of an image file only: `shot.0001` stays."""
    name = PurePosixPath(unquote(file_name.replace("\\", "/")))
    return str(name.with_suffix("")) if name.suffix.lower() in _IMAGE_SUFFIXES else str(name)


def _video_names(names: Iterable[str]) -> frozenset[str]:
    """Return the names, or their first parts, that can be the name of a video."""
    matches = (_VIDEO_NAME.fullmatch(name) for name in names)
    return frozenset(match[1] for match in matches if match)


def _timed_names(frame: Frame, videos: frozenset[str]) -> list[str]:
    """Return the possible names of a video frame, longest first."""
    names = sorted((name for name in videos if frame.video_id.startswith(name)), key=len, reverse=True)
    return [f"{name}{separator}{frame.key}" for name in names for separator in "/_"]


def _describe(frame: Frame) -> str:
    return frame.name or f"video {frame.video_id[:12]} at {frame.pts_ms} ms"
