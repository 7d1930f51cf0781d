"""Compare the frames of val and test with those of train, and write what was found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db.datasets.queries import VersionFrame, version_line, version_rows, version_videos
from db.models.datasets import DatasetVersionRow
from labeling.datasets.records import SPLITS
from labeling.datasets.splits.assignment import source_key
from labeling.datasets.splits.certificate import LeakCertificate, NearestPair
from labeling.datasets.splits.neighbors import nearest_frames
from labeling.datasets.splits.thumbnail_file import ThumbnailFile
from labeling.report.leaks import render_leaks
from labeling.storage.home import Home
from labeling.visualization.frames import tile_jpeg
from tasks.datasets.describe import describe_frames
from tasks.execution.context import Context
from tasks.files import read_kept

MAX_PAIRS = 12
"""Pairs with images on the page."""
_IMAGE_PX = 320


@dataclass(frozen=True, slots=True)
class _Compared:
    """Positions of the frames of a version, by split, and of the nearest frame of train."""

    queries: NDArray[np.int64]
    nearest: NDArray[np.int64]
    similarities: NDArray[np.float32]
    unreadable: int


def certify(context: Context, session: Session, made: DatasetVersionRow) -> LeakCertificate:
    """Return the leak certificate of a version."""
    line = version_line(session, made)
    codes = np.fromiter((SPLITS.index(row.split) for row in version_rows(session, made)), dtype=np.int8)
    compared = _compare(context, session, made, codes)
    places = dict.fromkeys([*compared.queries.tolist(), *compared.nearest.tolist()])
    rows = {at: row for at, row in enumerate(version_rows(session, made)) if at in places}
    order = np.lexsort((compared.queries, -compared.similarities))
    pairs = [
        _pair(
            rows[int(compared.queries[at])], rows[int(compared.nearest[at])], float(compared.similarities[at])
        )
        for at in order
        if compared.nearest[at] >= 0
    ]
    videos, sources = _in_two_splits(session, made)
    return LeakCertificate(
        f"{made.name}@{made.number}", line.id, line.splits, pairs, videos, sources, compared.unreadable
    )


def _compare(
    context: Context, session: Session, made: DatasetVersionRow, codes: NDArray[np.int8]
) -> _Compared:
    train = SPLITS.index("train")
    with ThumbnailFile(len(codes), context.home.root) as file:
        images = ((at, row.image) for at, row in enumerate(version_rows(session, made)))
        unreadable = describe_frames(context, session, images, file)
        readable = np.ones(len(codes), dtype=bool)
        readable[unreadable] = False
        queries = np.flatnonzero((codes != train) & readable)
        nearest = nearest_frames(file, queries, np.flatnonzero((codes == train) & readable))
    return _Compared(queries, nearest.positions, nearest.similarities, len(unreadable))


def _pair(one: VersionFrame, other: VersionFrame, similarity: float) -> NearestPair:
    return NearestPair(
        split=one.split or "",
        frame=one.frame_id,
        file_name=one.file_name,
        video_id=one.video_id,
        image=one.image,
        similarity=round(similarity, 4),
        nearest_frame=other.frame_id,
        nearest_file_name=other.file_name,
        nearest_video_id=other.video_id,
        nearest_image=other.image,
    )


def _in_two_splits(session: Session, made: DatasetVersionRow) -> tuple[int, int]:
    """Return how many videos, and how many known sources, are in more than one split."""
    sources = {one.video_id: source_key(one) for one in version_videos(session, made.snapshot_id)}
    by_video: dict[str, set[str | None]] = {}
    by_source: dict[str, set[str | None]] = {}
    for row in version_rows(session, made):
        by_video.setdefault(row.video_id, set()).add(row.split)
    for video_id, splits in by_video.items():
        if key := sources[video_id]:
            by_source.setdefault(key, set()).update(splits)
    return _count_several(list(by_video.values())), _count_several(list(by_source.values()))


def _count_several(found: Sequence[set[str | None]]) -> int:
    return sum(len(splits) > 1 for splits in found)


def leaks_page(leaks: LeakCertificate, home: Home) -> str:
    """Return the HTML page with images of the most similar pairs."""
    return render_leaks(leaks, _tiles(_varied(leaks.pairs)[:MAX_PAIRS], home))


def _varied(pairs: Sequence[NearestPair]) -> list[NearestPair]:
    """Return the most similar pair of each two videos, then the others."""
    first = {(pair.video_id, pair.nearest_video_id): pair for pair in reversed(pairs)}
    chosen = {id(pair) for pair in first.values()}
    return sorted(pairs, key=lambda pair: id(pair) not in chosen)


def _tiles(pairs: Sequence[NearestPair], home: Home) -> Iterator[tuple[NearestPair, bytes, bytes]]:
    for pair in pairs:
        first, second = (
            tile_jpeg(read_kept(frame, image, home), (), (), width=_IMAGE_PX)
            for frame, image in ((pair.frame, pair.image), (pair.nearest_frame, pair.nearest_image))
        )
        yield pair, first, second
