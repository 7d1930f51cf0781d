"""Dataset versions of rendered boxes, and students that are networks of one convolution."""

from pathlib import Path

from configs.student_training import StudentTraining
from db.datasets.queries import VersionFrame, find_version, version_rows
from labeling.datasets.splits.assignment import Division
from labeling.datasets.versions.query import FrameQuery, parse_query
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage
from tasks.datasets.create import create_dataset
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import database_of, open_context
from tasks.students.train import StudentOrder
from tests.tasks.datasets.planting import PlantedVideo, plant, scene

TINY = StudentTraining(
    input_hw=(48, 64), batch=2, steps=4, steps_per_epoch=2, workers=0, threads=1, device="cpu"
)
FRAMES = 3


def with_person(name: str, number: int) -> RgbImage:
    """Return a place with a red person where the planted mask is; bright people would make all places alike."""
    image = scene(name, number)
    image[10:70, 10 + number : 40 + number] = (240, 50, 50)
    return image


def video(name: str) -> PlantedVideo:
    return PlantedVideo(name, images=[with_person(name, number) for number in range(FRAMES)])


def plant_version(home: Home, *, videos: int = 8, query: FrameQuery | None = None) -> None:
    """Make version 1 of `night`, with frames in all three splits."""
    plant(home, [video(f"v{number}") for number in range(videos)])
    division = Division((0.5, 0.25, 0.25), 0)
    query = query or parse_query((), ("accepted",), ())
    create_dataset(open_context(home), DatasetOrder("night", query, division))


def freeze(home: Home, *names: str) -> None:
    """Make an evaluation set `frozen` of new videos."""
    plant(home, [video(name) for name in names], hard_iou=0.6)
    create_dataset(
        open_context(home), DatasetOrder("frozen", parse_query((), ("accepted",), ()), is_frozen=True)
    )


def rows(home: Home, name: str) -> list[VersionFrame]:
    with database_of(home).session() as session:
        return list(version_rows(session, find_version(session, name)))


def order(home: Home, to: Path, **changes: object) -> StudentOrder:
    return StudentOrder("night", to, TINY.model_copy(update=changes))
