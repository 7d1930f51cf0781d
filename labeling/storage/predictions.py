"""Files of what models found in frames, so that nothing is inferred twice. They can be deleted at any time.

One file holds what one shard added, as JSON in gzip: by frame key, `m` before it for the mirrored image.
"""

import gzip
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from labeling.storage.atomic import storage_errors, write_atomically
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask

SUFFIX = ".json.gz"
BOXES = "-boxes"
"""After the id of a video: the folder of what was found in given boxes."""
_PLAIN = tuple(field.name for field in fields(Instance) if field.name != "mask")
_NESTED = ("box_xywh", "not_refined")


class PredictionFiles:
    """The predictions of one model on the frames of one video, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, first: int, end: int | None) -> dict[str, list[Instance]]:
        """Return the predictions on frames with keys from `first` up to `end` (exclusive; None: all after it)."""
        found: dict[str, list[Instance]] = {}
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            low, high = (int(part) for part in file.name.split("-")[:2])
            if high >= first and (end is None or low < end):
                found |= _read(file, first, end)
        return found

    def write(self, added: Mapping[str, Sequence[Instance]]) -> None:
        """Add a file with these predictions; the same ones again are the same file.

        Raises:
            StorageError: the disk is full or not writable.
        """
        keys = [frame_number(key) for key in added]
        tree = {key: [_to_tree(one) for one in instances] for key, instances in sorted(added.items())}
        content = gzip.compress(json.dumps(tree, separators=(",", ":")).encode(), compresslevel=1, mtime=0)
        name = f"{min(keys):015}-{max(keys):015}-{hashlib.sha256(content).hexdigest()[:12]}{SUFFIX}"
        with storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / name, content)


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """A file in a home's folder of predictions."""

    path: Path
    model_key: str
    """`labeling.segmenters.kept.model_key` of the model."""
    video_id: str
    bytes: int
    age_s: float

    def delete(self) -> None:
        """Delete the file, and its folders once they are empty.

        Raises:
            HomeNotWritable: no permission.
        """
        with storage_errors(self.path):
            self.path.unlink(missing_ok=True)
        for folder in (self.path.parent, self.path.parent.parent):
            with suppress(OSError):  # not empty, or in use by a run that has just begun
                folder.rmdir()


def prediction_files(folder: Path) -> Iterator[PredictionFile]:
    """Yield the files in a home's folder of predictions, also unfinished ones, in order of their names."""
    for path in sorted(folder.glob("*/*/*")):
        with suppress(FileNotFoundError):  # its writer has just renamed it
            status = path.lstat()
            age_s = time.time() - status.st_mtime
            yield PredictionFile(
                path, path.parent.parent.name, path.parent.name.removesuffix(BOXES), status.st_size, age_s
            )


def frame_number(key: str) -> int:
    """Return the frame key in the key of a prediction.

    >>> frame_number("m2500"), frame_number("0")
    (2500, 0)
    """
    return int(key.removeprefix("m"))


def _read(file: Path, first: int, end: int | None) -> dict[str, list[Instance]]:
    """Read one file; one that cannot be read has nothing: its frames are inferred again."""
    try:
        tree = json.loads(gzip.decompress(file.read_bytes()))
        return {
            key: [_from_tree(one) for one in instances]
            for key, instances in tree.items()
            if first <= frame_number(key) and (end is None or frame_number(key) < end)
        }
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _to_tree(instance: Instance) -> dict[str, Any]:
    rle = instance.mask.to_coco()
    counts = rle["counts"].decode() if isinstance(rle["counts"], bytes) else rle["counts"]
    plain = {name: getattr(instance, name) for name in _PLAIN}
    given = {name: value for name, value in plain.items() if value is not None}
    return given | {"size": list(rle["size"]), "counts": counts}


def _from_tree(tree: dict[str, Any]) -> Instance:
    mask = Mask.from_coco({"size": tree.pop("size"), "counts": tree.pop("counts")})
    keypoints = tree.pop("keypoints", None)
    for name in _NESTED:
        tree[name] = tuple(tree.get(name, ()))
    return Instance(mask, keypoints=None if keypoints is None else tuple(map(tuple, keypoints)), **tree)
