"""Masks in which white is the background."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, ModelOutputWrong
from labeling.datasets.readers.label_images import read_label_image

CHECKED_MASKS = 8
"""Masks of a folder that are checked."""
_MOST = 0.5
"""People seldom cover more of an image."""
_BORDER = 0.8
"""Share of the border that the background covers at least: people leave the image at one or two sides."""


def refuse_inverted(masks: Iterable[Path], *, origin: str) -> None:
    """Raise `ConfigError` if the one mask of each of these files surrounds the rest of its image.

    Files that cannot be read, or that have several people or none, say nothing.
    """
    found = [is_inverted for path in masks if (is_inverted := _is_inverted_file(path)) is not None]
    if found and all(found):
        raise ConfigError(
            f"{origin}: in the {len(found)} masks that were checked, white covers most of the image and its border, as a "
            "background does: they look inverted; write 0 where there is no person"
        )


def looks_inverted(labels: NDArray[Any]) -> bool:
    """Return whether the pixels that are not 0, HxW, surround the others.

    >>> labels = np.ones((6, 6)); labels[2:5, 2:4] = 0
    >>> looks_inverted(labels), looks_inverted(1 - labels), looks_inverted(np.ones((6, 6)))
    (True, False, False)
    """
    white = labels != 0
    border = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    return bool(_MOST < white.mean() < 1 and border.mean() >= _BORDER and white[0].mean() >= _BORDER)


def _is_inverted_file(path: Path) -> bool | None:
    try:
        labels = read_label_image(path.read_bytes(), origin=str(path)).labels
    except (OSError, ModelOutputWrong):
        return None
    return looks_inverted(labels) if len(np.unique(labels[labels != 0])) == 1 else None
