"""Planted truth: reads the truth that the user names, and sends some of its frames among the ordinary tasks."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

from sqlalchemy.orm import Session

from configs.categories import require_people
from configs.errors import ConfigError
from configs.models import PlantedTruth
from configs.models import Review as Settings
from db.models.core import frame_id
from db.review.categories import run_categories
from db.review.planted import count_due, count_plantable, find_frames, find_images, plant_tasks, store_truths
from db.review.selection import PushChoice, choose_waiting, in_order
from labeling.datasets.readers.coco import CocoImage, read_coco_file
from labeling.structures.masks import Mask
from labeling.text.figures import count_of
from tasks.review.consensus import update_consensus

_MAX_DIGITS = 16
"""Of a frame's id, which has 53 bits."""


@dataclass(frozen=True, slots=True)
class ReadTruth:
    """The truth of a run's frames, and why some of it is not used."""

    masks: dict[int, tuple[Mask, ...]]
    """Of all people, by frame id."""
    unused: tuple[str, ...]
    """Such as `3 images (no frame of this run)`."""


def take_truth(session: Session, run_id: str, project_id: int, settings: Settings) -> tuple[str, ...]:
    """Store the truth of `review.planted`, which counts in the dataset from now on; returns why some of it is not used.

    Raises:
        ConfigError: no image is a frame of the run, or there are no masks, or the run has other categories than people.
        ModelOutputWrong: not a COCO file.
    """
    if settings.planted is None:
        return ()
    require_people(run_categories(session, run_id), "review.planted")
    truth = read_truth(session, run_id, settings.planted)
    written_at = datetime.fromtimestamp(int(settings.planted.truth.stat().st_mtime), UTC).replace(tzinfo=None)
    changed = store_truths(session, run_id, project_id, truth.masks, written_at=written_at)
    update_consensus(session, changed, settings)
    return truth.unused


def read_truth(session: Session, run_id: str, planted: PlantedTruth) -> ReadTruth:
    """Read the images of a COCO file that are frames of a run: by their id, by video and time, or by file name."""
    if not planted.truth.is_file():
        raise ConfigError(f"review.planted.truth: {planted.truth} does not exist: name a COCO file")
    images = list(read_coco_file(planted.truth))
    if any(image.boxes is not None for image in images):
        raise ConfigError(
            f"review.planted.truth: {planted.truth} has people without a mask: give all of them one"
        )
    names = find_images(session, run_id, [_name(image) for image in images])
    sizes = find_frames(session, run_id, {key for image in images for key in _keys(image, names)})
    masks, unused = {}, Counter[str]()
    for image in images:
        key = next((key for key in _keys(image, names) if key in sizes), None)
        if key is None:
            unused["no frame of this run"] += 1
        elif sizes[key] != image.size_hw:
            unused["of another size than the frame"] += 1
        elif image.ignored:
            unused["with regions to ignore"] += 1
        else:
            masks[key] = image.people
    if not masks:
        raise ConfigError(
            f"review.planted.truth: no image of {planted.truth} is a frame of run {run_id} whose people all have a mask; take a "
            "file that `maskmill export coco` wrote, or one with the file names of the run's images"
        )
    return ReadTruth(masks, tuple(f"{count_of(number, 'image')} ({why})" for why, number in unused.items()))


def _keys(image: CocoImage, names: Mapping[str, int]) -> Iterator[int]:
    """Yield the ids of frames that an image may be: its own id in an export, its video and time, its file name."""
    if image.image_id.isdecimal() and len(image.image_id) <= _MAX_DIGITS:
        yield int(image.image_id)
    if image.moment is not None:
        yield frame_id(*image.moment)
    if (name := _name(image)) in names:
        yield names[name]


def _name(image: CocoImage) -> str:
    return image.file_name.rpartition("/")[2]


def choose_frames(
    session: Session, run_id: str, project_id: int, settings: Settings, *, room: int
) -> PushChoice:
    """Choose at most `room` frames to send; those with a known truth are queued, in the order that their priority gives."""
    if settings.planted is None:
        return choose_waiting(session, run_id, settings, room=room)
    share = settings.planted.share
    reserved = min(ceil(share * room), count_plantable(session, run_id))
    choice = choose_waiting(session, run_id, settings, room=room - reserved)
    ordinary = len(choice.frames)
    due = count_due(session, run_id, share=share, ordinary=ordinary)
    planted = plant_tasks(session, run_id, project_id, most=min(due, room - ordinary))
    return PushChoice(tuple(in_order(session, [*choice.frames, *planted])), choice.passed_over)
