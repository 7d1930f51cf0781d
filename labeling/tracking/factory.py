"""Trackers made from their config blocks."""

import importlib.util
from typing import assert_never

from configs.errors import ExtraMissing
from configs.tracking import ByteTrackBlock, MaskTrackingBlock
from labeling.tracking.protocol import Tracker


def make_tracker(block: MaskTrackingBlock | ByteTrackBlock) -> Tracker:
    """Return a tracker for one clip.

    Raises:
        ExtraMissing: the library of a tracker is not installed.
    """
    match block:
        case MaskTrackingBlock():
            from labeling.tracking.mask_tracker import MaskTracker

            return MaskTracker(block)
        case ByteTrackBlock():
            if importlib.util.find_spec("trackers") is None:
                raise ExtraMissing(
                    "tracking: bytetrack requires the library trackers, which is not installed: pip install --no-deps "
                    "trackers supervision pyDeprecate matplotlib (it requires opencv-python, which must not be "
                    "installed beside opencv-python-headless), or set tracking: mask"
                )
            from labeling.tracking.bytetrack import ByteTracker

            return ByteTracker(block)
    assert_never(block)
