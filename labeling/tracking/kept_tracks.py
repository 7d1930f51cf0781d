"""Track numbers that an earlier pass over the same frames and instances gave, with the state of the tracks."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from labeling.structures.frames import Frame
from labeling.structures.instances import Instance


@dataclass(slots=True)
class KeptTracks:
    """The track numbers of each frame, by a hash of all frames and instances up to it."""

    numbers: dict[str, list[int | None]] = field(default_factory=dict)
    ends: dict[str, list[list[Any]]] = field(default_factory=dict)
    """What `EdgeRecorder.to_values` gave after the last frame, by the same hash."""
    has_new: bool = False
    """Something was added to what was read."""
    _hash: str = ""

    def follow(self, frame: Frame, instances: Sequence[Instance]) -> list[int | None] | None:
        """Take the next frame; return the numbers of its instances, None if they are not known."""
        seen = f"{self._hash} {frame.key} {frame.shot} {instances!r}"
        self._hash = hashlib.sha256(seen.encode()).hexdigest()[:32]
        return self.numbers.get(self._hash)

    def add(self, tracked: Sequence[Instance]) -> None:
        """Keep the numbers of the frame that was followed last."""
        self.numbers[self._hash] = [one.track_id for one in tracked]
        self.has_new = True

    def end(self) -> list[list[Any]] | None:
        """Return the state after the frame that was followed last; None: not known."""
        return self.ends.get(self._hash)

    def add_end(self, values: list[list[Any]]) -> None:
        """Keep the state after the frame that was followed last."""
        self.ends[self._hash] = values
        self.has_new = True
