"""Draw one person's strip, for `maskmill frames`, the report and the web page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from configs.errors import ConfigError
from db.frames.instances import frame_instances
from db.frames.listing import video_title
from db.frames.people import PersonFrame, PersonKey, find_person, people_of_frames, person_frames
from db.models.core import DecisionRow, FrameRow, VideoRow
from labeling.comparison.iou import union_iou
from labeling.storage.home import Home
from labeling.storage.outputs import encode_drawing
from labeling.structures.masks import Mask, fill_box, intersect_masks, union_masks
from labeling.text.figures import clock
from labeling.visualization.contact_sheet import encode_jpeg
from labeling.visualization.strip import StripCell, crop_person, draw_strip
from tasks.execution.context import Context
from tasks.files import read_kept, write_file

MAX_MOMENTS = 12
_QUALITY = 82
_PAGE_COLUMNS = 6
"""As many cells fit into the width of the pages."""


@dataclass(frozen=True, slots=True, eq=False)
class PersonStrip:
    """Moments of one person of a video."""

    key: PersonKey
    title: str
    """Of the video."""
    frames: int
    """Kept frames with the person."""
    first_ms: int
    last_ms: int
    cells: tuple[StripCell, ...]


def collect_strip(session: Session, run_id: str, key: PersonKey, home: Home) -> PersonStrip | None:
    """Read at most `MAX_MOMENTS` moments of a person, one image at a time; None if no image was kept."""
    frames = person_frames(session, run_id, key)
    if not frames:
        return None
    cells = tuple(_cell(session, run_id, key, frame, home) for frame in choose_moments(frames))
    times = [frame.pts_ms or 0 for frame in frames]
    title = video_title(session, session.get_one(VideoRow, key.video_id))
    return PersonStrip(key, title, len(frames), times[0], times[-1], cells)


def choose_moments(frames: Sequence[PersonFrame], *, most: int = MAX_MOMENTS) -> list[PersonFrame]:
    """Return evenly spaced frames, the first and last included; the one of the lowest agreement takes the nearest place.

    >>> frames = [PersonFrame(number, 40 * number, 0.1 if number == 3 else 0.9) for number in range(9)]
    >>> [frame.frame_id for frame in choose_moments(frames, most=5)]
    [0, 3, 4, 6, 8]
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    compared = [number for number, frame in enumerate(frames) if frame.iou is not None]
    if compared:
        worst = min(compared, key=lambda number: frames[number].iou or 0.0)
        chosen[np.abs(chosen - worst).argmin()] = worst
    return [frames[number] for number in chosen.tolist()]


def strips_of_frames(
    session: Session, run_id: str, frame_ids: Sequence[int], home: Home, *, limit: int
) -> Iterator[PersonStrip]:
    """Yield the strips of the people in these frames, at most `limit`, in the order of the frames."""
    by_frame = people_of_frames(session, run_id, frame_ids)
    people = dict.fromkeys(key for frame_id in frame_ids for key in by_frame.get(frame_id, ()))
    for key in list(people)[:limit]:
        strip = collect_strip(session, run_id, key, home)
        if strip is not None:
            yield strip


def _cell(session: Session, run_id: str, key: PersonKey, moment: PersonFrame, home: Home) -> StripCell:
    frame = session.get_one(FrameRow, moment.frame_id)
    decision = session.get_one(DecisionRow, (run_id, moment.frame_id))
    teacher = frame_instances(session, run_id, frame, "teacher")
    mask = next(one.mask for one in teacher if one.track_id == key.track_id)
    student = [one.mask for one in frame_instances(session, run_id, frame, "student")]
    rgb = read_kept(frame.id, decision.image, home)
    iou = None if moment.iou is None else person_agreement(mask, student)
    return StripCell(crop_person(rgb, mask, student), clock(moment.pts_ms or 0), iou)


def person_agreement(mask: Mask, student: Sequence[Mask]) -> float:
    """Return the IoU of a person's mask with all of the student's masks within the person's box, in [0, 1]."""
    inside = intersect_masks(union_masks(student, mask.size_hw), fill_box(mask.box_xywh, mask.size_hw))
    return union_iou(mask, inside)


def strip_jpeg(strip: PersonStrip) -> bytes:
    """Return the strip as a JPEG, for a page."""
    return encode_jpeg(draw_strip(strip.cells, columns=_PAGE_COLUMNS), quality=_QUALITY)


def write_strip(context: Context, run_id: str, person: str, out: Path) -> PersonStrip:
    """Draw the strip of a person into a PNG; see `find_person` for the text.

    Raises:
        ConfigError: there is no such person, or no image of it was kept.
        ExportError: the file cannot be written.
    """
    with context.database.session() as session:
        strip = collect_strip(session, run_id, find_person(session, run_id, person), context.home)
    if strip is None:
        raise ConfigError(f"--person {person!r}: all frames of that person were rejected; no image was kept")
    write_file(out, encode_drawing(draw_strip(strip.cells)))
    return strip
