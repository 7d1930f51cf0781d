"""Masks made elsewhere, for example on a device: a folder of PNG images, or a COCO file.

The mask of a frame:

| frame | in a folder | in a COCO file, `file_name` (any suffix) |
|---|---|---|
| image `cat.jpg` of a folder | `cat.png` | `cat`, in any folder; or `image_id` `cat` |
| image `000123.jpg` | `000123.png` | as above; or `image_id` 123 |
| video `1f0c...`, 2.5 s | `1f0c.../2500.png` or `1f0c..._2500.png` | `1f0c.../2500` or `1f0c..._2500` |

A video is named by its SHA-256 or at least the first 8 digits; the longest matching name counts.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from configs.errors import ConfigError, ModelOutputWrong
from configs.segmenters import MasksFolderBlock
from labeling.datasets.readers.coco import person_ids, read_coco_records
from labeling.datasets.readers.masks import read_label_png
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import check_size

_VIDEO_NAME = re.compile(r"([0-9a-f]{8,64})(?:[_/](\d+))?")
"""A video's SHA-256 or its first digits, alone or with a time in ms."""
_IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class _MaskSource(Protocol):
    sha256: str

    def find(self, frame: Frame) -> list[Instance] | None:
        """Return the instances of a frame; None if it has no entry."""
        ...


class MasksFolderSegmenter(StatelessSegmenter):
    """Looks up the masks that another program made.

    Raises:
        ConfigError: the folder or file does not exist, or is not COCO's JSON.
    """

    def __init__(self, block: MasksFolderBlock) -> None:
        self._block = block
        if not block.path.exists():
            raise ConfigError(
                f"masks_folder: {block.path} does not exist: set path to a folder or a COCO .json file"
            )
        self._masks: _MaskSource = _Folder(block.path) if block.path.is_dir() else _CocoFile(block.path)

    @property
    def card(self) -> ModelCard:
        return ModelCard(
            kind=self._block.kind,
            name=self._block.path.name,
            weights_sha256=self._masks.sha256,
            settings=json.dumps({"missing": self._block.missing}, separators=(",", ":")),
            sees_mirrored=False,
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
        self._videos = _video_names(entry.stem for entry in self._root.iterdir())

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
            return [f"{frame.name.removesuffix(Path(frame.name).suffix)}.png"]
        return [f"{name}.png" for name in _timed_names(frame, self._videos)]


class _CocoFile:
    """Records of a COCO results list or annotation file, by image name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_bytes()
        self.sha256 = hashlib.sha256(text).hexdigest()
        try:
            tree = json.loads(text)
        except ValueError as exc:
            raise ConfigError(
                f"masks_folder: {path} is neither a folder nor JSON ({exc}): check path"
            ) from exc
        records, images = self._split(tree)
        self._people = person_ids(tree.get("categories", []) if isinstance(tree, dict) else [])
        self._sizes_hw: dict[str, tuple[int, int]] = {}
        self._records: dict[str, list[Any]] = {}
        names = self._index_images(images)
        for record in records:
            self._records.setdefault(self._name_record(record, names), []).append(record)
        self._by_stem: dict[str, set[str]] = defaultdict(set)
        for name in self._records:
            self._by_stem[name.rpartition("/")[2]].add(name)
        self._videos = _video_names(name.lstrip("/") for name in self._records)

    def find(self, frame: Frame) -> list[Instance] | None:
        name = self._find_name(frame)
        if name is None:
            return None
        origin = f"masks_folder: {self._path}, image {name!r}"
        if name in self._sizes_hw:
            check_size(self._sizes_hw[name], frame.size_hw, origin)
        return read_coco_records(self._records[name], frame.size_hw, origin=origin, people=self._people)

    def _split(self, tree: Any) -> tuple[list[Any], list[Any]]:
        if isinstance(tree, list):
            return tree, []
        if isinstance(tree, dict) and isinstance(tree.get("annotations"), list):
            images = tree.get("images", [])
            return tree["annotations"], images if isinstance(images, list) else []
        raise ConfigError(
            f"masks_folder: {self._path} is not COCO: it must be a list of results, or an object with "
            "`images` and `annotations`"
        )

    def _index_images(self, images: Iterable[Any]) -> dict[str, str]:
        """Return image names by id, and register each image: without annotations it shows no person."""
        names: dict[str, str] = {}
        for image in images:
            if not isinstance(image, Mapping) or not isinstance(image.get("file_name"), str):
                raise ConfigError(f"masks_folder: {self._path}: an image has no file_name, add it: {image!r}")
            name = names[str(image.get("id"))] = _without_suffix(image["file_name"])
            self._records[name] = []
            if isinstance(image.get("height"), int) and isinstance(image.get("width"), int):
                self._sizes_hw[name] = (image["height"], image["width"])
        return names

    def _name_record(self, record: Any, names: Mapping[str, str]) -> str:
        if isinstance(record, Mapping):
            if isinstance(record.get("file_name"), str):
                return _without_suffix(record["file_name"])
            image_id = record.get("image_id")
            name = names.get(str(image_id)) if names else _without_suffix(str(image_id))
            if image_id is not None and name:
                return name
        raise ConfigError(
            f"masks_folder: {self._path}: a record has no image, add a file_name or an image_id "
            f"among `images`: {str(record)[:120]}"
        )

    def _find_name(self, frame: Frame) -> str | None:
        if not frame.name:
            candidates = _timed_names(frame, self._videos)
            return next((name for name in candidates if name in self._records), None)
        full_name = _without_suffix(frame.name)
        if full_name in self._records:
            return full_name
        stem = PurePosixPath(full_name).name
        found = self._by_stem.get(stem) or (self._by_stem.get(str(int(stem))) if stem.isdecimal() else None)
        if found and len(found) > 1:
            raise ModelOutputWrong(
                f"masks_folder: {self._path} has {len(found)} images named {stem!r} ({sorted(found)[:3]}); "
                "give them different names"
            )
        return next(iter(found)) if found else None


def _without_suffix(file_name: str) -> str:
    """Remove the suffix of an image file only: `shot.0001` stays."""
    name = PurePosixPath(file_name.replace("\\", "/"))
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
