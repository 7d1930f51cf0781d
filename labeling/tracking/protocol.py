"""The interface of a tracker."""

from collections.abc import Sequence
from typing import Protocol

from labeling.structures.frames import Frame
from labeling.structures.instances import Instance


class Tracker(Protocol):
    """Follows the people of one clip: one object per clip, its frames in order of time."""

    def update(self, frame: Frame, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        """Return the same instances in the same order, with the `track_id` of their person, from 1.

        An instance that has a `track_id` keeps it. Tracks end at a change of `frame.shot`. An instance may stay
        without a track.
        """
        ...
