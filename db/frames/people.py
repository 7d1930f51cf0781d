"""Reads the frames of one person of a video, by the track of the teacher's instances."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from configs.errors import ConfigError
from db.models.core import AgreementRow, DecisionRow, FrameRow, InstanceRow, ShardRow, TrackRow
from db.sql.reading import select_by_ids
from labeling.text.figures import count_of

_SHOWN_DIGITS = 8
"""Digits of a video's id in `PersonKey.text`."""
_TEXT = re.compile(r"([0-9a-f]+):([0-9]{1,18})")


class PersonKey(NamedTuple):
    """A person of one video of a run."""

    video_id: str
    track_id: int

    @property
    def text(self) -> str:
        """The person as `maskmill frames --person` reads it.

        >>> PersonKey("1f0c9ab2" + 56 * "0", 3).text
        '1f0c9ab2:3'
        """
        return f"{self.video_id[:_SHOWN_DIGITS]}:{self.track_id}"


class PersonFrame(NamedTuple):
    """A frame with a person."""

    frame_id: int
    pts_ms: int | None
    iou: float | None
    """Agreement of the whole frame; None: not compared."""


def find_person(session: Session, run_id: str, text: str) -> PersonKey:
    """Return the person of a text such as `1f0c9ab2:3`: the beginning of the video's id, and the track.

    Raises:
        ConfigError: the text has another form, or no video, several videos or no instance match it.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"--person {text!r} is not VIDEO:NUMBER, such as 1f0c9ab2:3; `maskmill frames` lists them"
        )
    videos = session.scalars(
        select(ShardRow.video_id)
        .where(ShardRow.run_id == run_id, ShardRow.video_id.startswith(found[1], autoescape=True))
        .distinct()
    ).all()
    if len(videos) != 1:
        what = count_of(len(videos), "video") if videos else "no video"
        raise ConfigError(f"--person {text!r}: the ids of {what} of the run begin with {found[1]!r}")
    key = PersonKey(videos[0], int(found[2]))
    if session.execute(_instances(run_id, key).limit(1)).first() is None:
        raise ConfigError(
            f"--person {text!r}: no frame of this video has that person; `maskmill frames` lists them"
        )
    return key


def person_frames(session: Session, run_id: str, key: PersonKey) -> list[PersonFrame]:
    """Return the frames of a person of which an image was kept, in the order of time."""
    query = _instances(run_id, key).where(DecisionRow.image.is_not(None)).order_by(FrameRow.pts_ms)
    rows = {row.id: PersonFrame(row.id, row.pts_ms, row.iou) for row in session.execute(query)}
    return list(rows.values())


def people_of_frames(
    session: Session, run_id: str, frame_ids: Sequence[int]
) -> dict[int, tuple[PersonKey, ...]]:
    """Return the people of each frame, in the order of the model; frames without any are absent."""
    query = (
        select(InstanceRow.frame_id, InstanceRow.track_id, FrameRow.video_id)
        .join(FrameRow, FrameRow.id == InstanceRow.frame_id)
        .where(InstanceRow.run_id == run_id, InstanceRow.role == "teacher")
        .order_by(InstanceRow.frame_id, InstanceRow.rank)
    )
    found: dict[int, tuple[PersonKey, ...]] = {}
    for frame_id, track_id, video_id in select_by_ids(session, query, InstanceRow.frame_id, frame_ids):
        if track_id is not None:
            found[frame_id] = (*found.get(frame_id, ()), PersonKey(video_id, track_id))
    return found


def _instances(run_id: str, key: PersonKey) -> Select[Any]:
    of_frame = InstanceRow.frame_id == FrameRow.id
    return (
        select(FrameRow.id, FrameRow.pts_ms, AgreementRow.iou)
        .join(InstanceRow, of_frame)
        .join(DecisionRow, (DecisionRow.frame_id == FrameRow.id) & (DecisionRow.run_id == run_id))
        .outerjoin(AgreementRow, (AgreementRow.frame_id == FrameRow.id) & (AgreementRow.run_id == run_id))
        .where(FrameRow.video_id == key.video_id, InstanceRow.run_id == run_id)
        .where(InstanceRow.role == "teacher", InstanceRow.track_id == key.track_id)
    )


def count_people(session: Session, run_id: str) -> int:
    """Return how many people of all videos of a run have a track of at least two frames."""
    people = (
        select(ShardRow.video_id, TrackRow.track_id)
        .join(ShardRow, ShardRow.id == TrackRow.shard_id)
        .where(TrackRow.run_id == run_id)
        .group_by(ShardRow.video_id, TrackRow.track_id)
        .having(func.sum(TrackRow.frames) > 1)
        .subquery()
    )
    return session.scalar(select(func.count()).select_from(people)) or 0
