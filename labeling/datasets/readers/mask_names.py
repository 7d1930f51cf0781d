"""The names of mask files, and the name of the mask of an image."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path, PurePosixPath

_SUFFIXES = (".png", ".PNG")
_SHOWN = 3


def mask_names(image_name: str) -> list[str]:
    """Return the possible names of an image's mask, the most special one first.

    >>> mask_names("cat.jpg")[::2]
    ['cat_mask.png', 'cat.png', 'cat.jpg.png']
    """
    stem = image_name.removesuffix(PurePosixPath(image_name).suffix)
    stems = dict.fromkeys((f"{stem}_mask", stem, image_name))
    return [f"{one}{suffix}" for one in stems for suffix in _SUFFIXES]


def find_mask(folder: Path, image_name: str) -> Path | None:
    """Return the mask of an image in a folder; None: there is none."""
    return next((folder / name for name in mask_names(image_name) if (folder / name).is_file()), None)


def name_examples(names: Iterable[str]) -> str:
    """Return the first names for an error message.

    >>> name_examples(["a.jpg", "b.jpg", "c.jpg", "d.jpg"]), name_examples([])
    ('a.jpg, b.jpg, c.jpg ...', 'nothing')
    """
    first = list(islice(iter(names), _SHOWN + 1))
    return ", ".join(first[:_SHOWN]) + (" ..." if len(first) > _SHOWN else "") if first else "nothing"
