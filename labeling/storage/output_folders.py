"""Marks of the folders that maskmill writes results into, so that a search for videos does not find these results."""

from pathlib import Path

from labeling.storage.atomic import write_atomically

EXPORT_MARK = ".maskmill-export.json"
"""In a dataset: the entries that the export wrote."""
OUTPUT_MARK = ".maskmill-output"
"""In folders of other results that have images: mattes, tracked people, synthetic clips."""
TEXT = "maskmill wrote this folder. It is not searched for videos when a folder around it is.\n"


def mark_output(folder: Path) -> None:
    """Write the mark into a folder of results, which must exist."""
    if not (folder / OUTPUT_MARK).is_file():
        write_atomically(folder / OUTPUT_MARK, TEXT.encode())


def is_output(folder: Path) -> bool:
    """Return whether maskmill wrote an export or other results into this folder."""
    return any((folder / name).is_file() for name in (EXPORT_MARK, OUTPUT_MARK))
