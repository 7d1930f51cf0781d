"""Reads and writes the descriptors of images; they are computed once."""

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.datasets import ImageDescriptorRow
from db.sql.reading import select_by_ids
from db.sql.upsert import upsert


def known_descriptors(session: Session, images: Iterable[str], method: str) -> dict[str, bytes]:
    """Return the descriptors that are stored, by image."""
    query = select(ImageDescriptorRow.image, ImageDescriptorRow.descriptor)
    query = query.where(ImageDescriptorRow.method == method)
    return dict(select_by_ids(session, query, ImageDescriptorRow.image, images))


def store_descriptors(session: Session, descriptors: Mapping[str, bytes], method: str) -> None:
    rows = [
        {"image": image, "method": method, "descriptor": content} for image, content in descriptors.items()
    ]
    upsert(session, ImageDescriptorRow, rows)
