"""Compute what near-duplicates of images are found by, once for each image."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from more_itertools import batched
from sqlalchemy.orm import Session

from configs.errors import StorageError
from db.datasets.descriptors import known_descriptors, store_descriptors
from db.sql.reading import PAGE
from labeling.datasets.splits.descriptors import METHOD, SIDE, Thumbnails, describe_image
from labeling.datasets.splits.thumbnail_file import ThumbnailFile
from labeling.storage.encode import image_key
from labeling.storage.image_store import ImageStore
from tasks.execution.context import Context

_AT_ONCE = 4


def describe_frames(
    context: Context, session: Session, images: Iterable[tuple[int, str]], file: ThumbnailFile
) -> list[int]:
    """Put the small image of each (position, image) into the file; return the positions that cannot be read.

    What is computed is stored a page at a time, so that a killed call is continued by the next one.
    """
    unreadable: list[int] = []
    for page in batched(images, PAGE):
        found = _descriptors(context, session, [image for _, image in page])
        readable = [(position, found[image]) for position, image in page if image in found]
        unreadable += [position for position, image in page if image not in found]
        if readable:
            positions = np.array([position for position, _ in readable], dtype=np.int64)
            contents = b"".join(content for _, content in readable)
            file.put(positions, np.frombuffer(contents, np.uint8).reshape(-1, SIDE, SIDE))
    return unreadable


def _descriptors(context: Context, session: Session, images: Sequence[str]) -> dict[str, bytes]:
    found = known_descriptors(session, images, METHOD)
    new = _compute(context.home.images, sorted(set(images) - found.keys()))
    if new:
        with context.database.transaction() as writing:
            store_descriptors(writing, new, METHOD)
    return found | new


def _compute(store: ImageStore, images: Sequence[str]) -> dict[str, bytes]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        thumbnails = pool.map(lambda image: _describe(store, image), images)
        return {
            image: thumbnail.tobytes()
            for image, thumbnail in zip(images, thumbnails, strict=True)
            if thumbnail is not None
        }


def _describe(store: ImageStore, image: str) -> Thumbnails | None:
    try:
        return describe_image(store.read(image_key(image)))
    except StorageError:
        return None
