"""The files of what was learned of one video.

    frames.npy            presentation time of each frame of the video, in ms
    projection.json       the conventions that were found
    instances/N.json      the teacher's instances in frame N
    patches/P/N.npz       surroundings of person P in frame N, to learn from
    parent.pt             a head trained on all people of the video
    person_P.pt           the head of person P

A folder belongs to one video, one file of trajectories and one set of settings; its name is their digest. Files are
written whole, so a killed process, or another shard of the video, continues where the files end.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from labeling.storage.atomic import WRITING_PREFIX, storage_errors, write_atomically
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.tracking.anchors import Conventions, Projection
from labeling.tracking.osvos_crops import TrainingPatch
from labeling.tracking.osvos_fine_tuning import TrainedHead, restore, state_of
from labeling.tracking.osvos_network import Backbone


@dataclass(frozen=True, slots=True)
class OsvosFiles:
    """Reads and writes one folder."""

    folder: Path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from doing the same work, and remove what a killed one left half written."""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            with storage_errors(self.folder):
                for leftover in self.folder.rglob(f"{WRITING_PREFIX}*"):
                    leftover.unlink(missing_ok=True)
            yield

    def times(self, make: Callable[[], Sequence[int]]) -> NDArray[np.int64]:
        """Return the times of the frames, from `make` the first time."""
        path = self.folder / "frames.npy"
        if not path.is_file():
            content = BytesIO()
            np.save(content, np.array(make(), dtype=np.int64))
            self._write(path, content.getvalue())
        return np.asarray(np.load(path), dtype=np.int64)

    def projection(self, make: Callable[[], Projection]) -> Projection:
        """Return the projection, from `make` the first time."""
        path = self.folder / "projection.json"
        if not path.is_file():
            found = make()
            tree = {**asdict(found), "to_pixels": found.to_pixels.tolist()}
            self._write(path, json.dumps(tree).encode())
        stored = json.loads(path.read_bytes())
        known = stored.pop("conventions")
        known["homography_hw"] = tuple(known["homography_hw"])
        matrix = np.array(stored.pop("to_pixels"))
        return Projection(matrix, conventions=Conventions(**known), **stored)

    def has_instances(self, number: int) -> bool:
        return self._instances_file(number).is_file()

    def read_instances(self, number: int) -> list[Instance]:
        return [_from_json(one) for one in json.loads(self._instances_file(number).read_bytes())]

    def write_instances(self, number: int, instances: Sequence[Instance]) -> None:
        content = json.dumps([_to_json(one) for one in instances]).encode()
        self._write(self._instances_file(number), content)

    def has_patch(self, person: int, number: int) -> bool:
        return self._patch_file(person, number).is_file()

    def write_patch(self, person: int, patch: TrainingPatch, *, is_usable: bool) -> None:
        content = BytesIO()
        none = np.zeros((0, 0), dtype=np.uint8)
        np.savez_compressed(
            content,
            rgb=patch.rgb,
            labels=patch.labels,
            difference=none if patch.difference is None else patch.difference,
            box=np.array(patch.box_xywh),
            usable=np.array(is_usable),
        )
        self._write(self._patch_file(person, patch.frame), content.getvalue())

    def read_patch(self, person: int, number: int) -> TrainingPatch | None:
        """Return a patch; None if its mask cannot be used."""
        with np.load(self._patch_file(person, number)) as stored:
            if not stored["usable"]:
                return None
            x, y, w, h = stored["box"].tolist()
            difference = stored["difference"] if stored["difference"].size else None
            return TrainingPatch(number, stored["rgb"], stored["labels"], difference, (x, y, w, h))

    def head(self, name: str, backbone: Backbone, make: Callable[[], TrainedHead]) -> TrainedHead:
        """Return the head `parent` or `person_P`, from `make` the first time."""
        path = self.folder / f"{name}.pt"
        if not path.is_file():
            content = BytesIO()
            torch.save(state_of(make()), content)
            self._write(path, content.getvalue())
        return restore(backbone, torch.load(path, map_location="cpu", weights_only=True))

    def _instances_file(self, number: int) -> Path:
        return self.folder / "instances" / f"{number}.json"

    def _patch_file(self, person: int, number: int) -> Path:
        return self.folder / "patches" / str(person) / f"{number}.npz"

    def _write(self, path: Path, content: bytes) -> None:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)


def _to_json(instance: Instance) -> dict[str, Any]:
    return {
        "size": instance.mask.size_hw,
        "counts": instance.mask.counts.decode(),
        "score": instance.score,
        "box": instance.box_xywh,
    }


def _from_json(tree: Mapping[str, Any]) -> Instance:
    height, width = tree["size"]
    x, y, w, h = tree["box"]
    return Instance(Mask((height, width), tree["counts"].encode()), tree["score"], (x, y, w, h))
