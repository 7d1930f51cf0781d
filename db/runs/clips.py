"""Reads the part of a video that a shard covers."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.core import ImageRow, ShardRow, VideoRow
from labeling.structures.frames import Clip, ImageFile


def shard_clip(session: Session, shard: ShardRow, locate: Callable[[str], Path]) -> Clip:
    """Return the part of a video that a shard covers; `locate` gives the file of a stored path."""
    video = session.get_one(VideoRow, shard.video_id)
    if video.kind == "video":
        end = None if shard.end_ms is None else Fraction(shard.end_ms, 1000)
        gaps = tuple((Fraction(start, 1000), Fraction(stop, 1000)) for start, stop in video.gaps or ())
        return Clip(video.id, locate(video.path), Fraction(shard.start_ms, 1000), end, gaps=gaps)
    query = select(ImageRow).where(ImageRow.video_id == video.id, ImageRow.position >= shard.start_ms)
    if shard.end_ms is not None:
        query = query.where(ImageRow.position < shard.end_ms)
    images = session.scalars(query.order_by(ImageRow.position))
    files = (ImageFile(image.position, locate(image.path), image.name) for image in images)
    levels = None
    if video.black_level is not None and video.white_level is not None:
        levels = (video.black_level, video.white_level)
    return Clip(video.id, images=tuple(files), levels=levels)
