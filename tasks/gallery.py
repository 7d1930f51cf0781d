"""Images and details of single frames, for the web page."""

from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy.orm import Session

from configs.errors import ConfigError
from db.frames.gallery import ReviewTask, review_task
from db.frames.instances import frame_instances
from db.frames.listing import FrameLine, frame_lines, frame_rows
from db.frames.people import find_person
from db.models.core import FrameRow
from labeling.review.label_studio.credentials import read_credentials
from labeling.storage.home import Home
from labeling.visualization.contact_sheet import encode_jpeg
from labeling.visualization.frames import STUDENT, TEACHER, tile_jpeg
from labeling.visualization.layers import difference_layer, encode_layer, mask_layer
from tasks.execution.context import Context
from tasks.files import read_kept
from tasks.review.connect import LOCAL
from tasks.strips import collect_strip, strip_jpeg

Layer = Literal["teacher", "student", "difference"]
LAYERS: tuple[Layer, ...] = get_args(Layer)
_IMAGE_QUALITY, _THUMBNAIL_QUALITY = 92, 80
_THUMBNAIL_PX = 400


@dataclass(frozen=True, slots=True)
class FrameDetails:
    """A frame with its size and its place in Label Studio."""

    line: FrameLine
    width: int
    height: int
    task_url: str | None
    """Page of its task in Label Studio; None if it was not sent."""
    task_state: str | None


def frame_details(context: Context, run_id: str, frame_id: int) -> FrameDetails:
    """Return a frame of a run.

    Raises:
        ConfigError: the run has no such frame.
    """
    with context.database.session() as session:
        line, frame = _find(session, run_id, frame_id)
        task = review_task(session, frame_id)
    url = task_url(task, context.home) if task else None
    return FrameDetails(line, frame.width or 0, frame.height or 0, url, task.state if task else None)


def task_url(task: ReviewTask, home: Home) -> str | None:
    """Return the page of a task; None if the home's own Label Studio was never started."""
    server = task.location
    if server == LOCAL:
        credentials = read_credentials(home.root)
        server = credentials.url if credentials else ""
    if not server.startswith(("http://", "https://")):
        return None
    return f"{server.rstrip('/')}/projects/{task.project}/data?task={task.task}"


def frame_jpeg(context: Context, run_id: str, frame_id: int) -> bytes:
    """Return the image of a frame.

    Raises:
        ConfigError: the run has no such frame, or kept no image of it.
    """
    with context.database.session() as session:
        line, _ = _find(session, run_id, frame_id)
    return encode_jpeg(read_kept(frame_id, _image_of(line), context.home), quality=_IMAGE_QUALITY)


def frame_thumbnail(context: Context, run_id: str, frame_id: int) -> bytes:
    """Return the part of a frame with the people and both outlines, as JPEG; raises as `frame_jpeg`."""
    with context.database.session() as session:
        line, frame = _find(session, run_id, frame_id)
        sides = [frame_instances(session, run_id, frame, role) for role in ("teacher", "student")]
    rgb = read_kept(frame_id, _image_of(line), context.home)
    return tile_jpeg(rgb, *sides, width=_THUMBNAIL_PX, quality=_THUMBNAIL_QUALITY)


def frame_layer(context: Context, run_id: str, frame_id: int, layer: Layer) -> bytes:
    """Return one layer of masks as transparent PNG; raises as `frame_details`."""
    with context.database.session() as session:
        _, frame = _find(session, run_id, frame_id)
        size_hw = (frame.height or 1, frame.width or 1)
        teacher, student = (frame_instances(session, run_id, frame, role) for role in ("teacher", "student"))
    if layer == "difference":
        return encode_layer(difference_layer(teacher, student, size_hw))
    instances, color = (teacher, TEACHER) if layer == "teacher" else (student, STUDENT)
    return encode_layer(mask_layer(instances, size_hw, color))


def person_jpeg(context: Context, run_id: str, person: str) -> bytes:
    """Return the strip of a person (`find_person`) as JPEG.

    Raises:
        ConfigError: there is no such person in the run, or no image of it was kept.
    """
    with context.database.session() as session:
        strip = collect_strip(session, run_id, find_person(session, run_id, person), context.home)
    if strip is None:
        raise ConfigError(f"person {person!r}: no image was kept; go back to the list of frames")
    return strip_jpeg(strip)


def _find(session: Session, run_id: str, frame_id: int) -> tuple[FrameLine, FrameRow]:
    rows = session.execute(frame_rows(run_id).where(FrameRow.id == frame_id)).all()
    if not rows:
        raise ConfigError(f"run {run_id} has no frame {frame_id}: go back to the list of frames")
    (line,) = frame_lines(session, rows)
    return line, session.get_one(FrameRow, frame_id)


def _image_of(line: FrameLine) -> str:
    if line.image is None:
        raise ConfigError(f"frame {line.id} was rejected: no image of it was kept")
    return line.image
