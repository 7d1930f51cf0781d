"""Files of what was measured in a shard's pixels, so that other settings apply without decoding. They can be deleted at any time.

One file holds arrays, and plain values as JSON.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.storage.atomic import storage_errors, write_atomically

_VALUES = "values"
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What was measured in one shard."""

    values: dict[str, Any] = field(default_factory=dict)
    """Plain values."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservationFile:
    """The file of one shard, which may not exist."""

    path: Path

    def read(self) -> Observation | None:
        """Return its content; None: there is none that can be read."""
        try:
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            values = json.loads(arrays.pop(_VALUES).tobytes())
        except _UNREADABLE:
            return None
        return Observation(values, arrays) if isinstance(values, dict) else None

    def write(self, observation: Observation) -> None:
        """Replace the file.

        Raises:
            StorageError: the disk is full or not writable.
        """
        text = json.dumps(observation.values, separators=(",", ":")).encode()
        values = {_VALUES: np.frombuffer(text, np.uint8)}
        content = io.BytesIO()
        np.savez_compressed(content, **values, **observation.arrays)  # type: ignore[arg-type]  # its stub takes a bool for any keyword
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, content.getvalue())
