"""The folder of a training, and what repeats it.

last.ckpt             weights and optimizer of the supervised stage, after each epoch
metrics.csv           its losses, one line per step; logs/ has one log per start
adversarial/          the same of the adversarial stage, and the crops of its videos
network.onnx          the result, for `maskmill matte --weights`
training.json         settings, seeds, versions and fingerprints of the data; at the end the result
"""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from configs.errors import ConfigError, StorageError
from labeling.storage.atomic import storage_errors, write_atomically

LIBRARIES = ("maskmill", "torch", "lightning", "numpy", "opencv-python-headless")


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """Reads and writes the folder of one training."""

    root: Path

    @property
    def network(self) -> Path:
        return self.root / "network.onnx"

    @property
    def adversarial(self) -> Path:
        return self.root / "adversarial"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Create the folder and keep other trainings out of it."""
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / ".lock", blocking=False)
            try:
                lock.acquire()
            except Timeout as exc:
                raise ConfigError(
                    f"another training is writing to {self.root}: wait for it, or name another folder with --to"
                ) from exc
        try:
            yield
        finally:
            lock.release()

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Write what determines the result to `training.json`, or compare it with what is there.

        Raises:
            ConfigError: the folder holds a training with other settings or data; the message names them.
            StorageError: `training.json` cannot be read or written.
        """
        there = self.read()
        if there is None:
            libraries = {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}
            self._write({**identity, "versions": libraries})
            return
        changes = list(_changes({key: there.get(key) for key in identity}, identity))
        if changes:
            raise ConfigError(
                f"{self.root} holds a training with other settings or data: {'; '.join(changes)}; undo the "
                "change, name another folder with --to, or delete this one"
            )

    def finish(self, result: Mapping[str, Any]) -> None:
        """Add the result to `training.json`."""
        self._write({**(self.read() or {}), "result": dict(result)})

    def read(self) -> dict[str, Any] | None:
        """Return the content of `training.json`; None if it is not there."""
        path = self.root / "training.json"
        try:
            tree: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise StorageError(
                f"{path} cannot be read: {exc}; restore it, or name another folder with --to"
            ) from exc
        return tree

    def _write(self, tree: Mapping[str, Any]) -> None:
        path = self.root / "training.json"
        with storage_errors(path):
            write_atomically(path, json.dumps(tree, indent=1, ensure_ascii=False).encode() + b"\n")


def _changes(before: Any, now: Any, key: str = "") -> Iterator[str]:
    """Yield a phrase per value that differs.

    >>> list(_changes({"settings": {"steps": 4, "seed": 1}}, {"settings": {"steps": 8, "seed": 1}}))
    ['settings.steps was 4, is 8']
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*now, *(name for name in before if name not in now)]:
            yield from _changes(before.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif before != now:
        yield f"{key} was {json.dumps(before)}, is {json.dumps(now)}"
