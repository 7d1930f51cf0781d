"""Marks of what maskmill writes for people, so that a search for videos and images does not find it."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from labeling.storage.atomic import write_atomically

if TYPE_CHECKING:
    from labeling.structures.frames import RgbImage

EXPORT_MARK = ".maskmill-export.json"
"""In a dataset: the entries that the export wrote."""
OUTPUT_MARK = ".maskmill-output"
"""In folders of other results that have images: mattes, tracked people, synthetic clips."""
TEXT = "maskmill wrote this folder. It is not searched for videos when a folder around it is.\n"
_SOFTWARE, _OURS = "Software", "maskmill"


def mark_output(folder: Path) -> None:
    """Write the mark into a folder of results before anything else; one that has files may have videos of its owner."""
    if not any(folder.iterdir()):
        write_atomically(folder / OUTPUT_MARK, TEXT.encode())


def is_output(folder: Path) -> bool:
    """Return whether maskmill wrote an export or other results into this folder."""
    return any((folder / name).is_file() for name in (EXPORT_MARK, OUTPUT_MARK))


def encode_drawing(rgb: "RgbImage") -> bytes:
    """Return an HxWx3 picture of frames and masks, for people to look at, as a PNG that says that maskmill drew it."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info, file = PngInfo(), io.BytesIO()
    info.add_text(_SOFTWARE, _OURS)
    Image.fromarray(rgb).save(file, "png", pnginfo=info)
    return file.getvalue()


def is_drawing(path: Path) -> bool:
    """Return whether a file is a picture of `encode_drawing`; only its header is read."""
    from PIL import Image

    from labeling.structures.images import open_image

    if path.suffix.lower() != ".png":
        return False
    try:
        with open_image(path, ("PNG",)) as image:
            return image.info.get(_SOFTWARE) == _OURS
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False  # it fails when it is read
