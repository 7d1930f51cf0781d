"""The flow that segments the people whose trajectories are known, through a whole video."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from configs.categories import categories_of, require_people
from configs.errors import ConfigError, SourceNotFound
from configs.load import load_config
from configs.models import RunConfig, Sampling, Trust
from configs.segmenters import OsvosBlock
from flows.generate import generate_dataset
from flows.home import whole_path
from labeling.sources.content_store import sha256_of
from labeling.storage.home import Home
from tasks.execution.context import open_context
from tasks.track_people import TrackOrder, TrackSummary, write_tracks_task


@flow(name="track-people", flow_run_name="track people of {video}", persist_result=False)
def track_people(
    video: Path,
    to: Path,
    people: OsvosBlock,
    config: RunConfig | None = None,
    home: Path = Path(".maskmill"),
    every_s: float = 0.0,
) -> TrackSummary:
    """Write masks of people through a video; an interrupted call continues.

    The run is stored in the home like any other: it can be reviewed and exported.

    Args:
        video: file of a video.
        to: folder of the masks.
        people: trajectories, homography, and whom to segment.
        config: its student is compared, its runner and weights folder are used; None: the preset `surveillance`.
        home: folder of the database and the images.
        every_s: time between segmented frames; 0: every frame.

    Raises:
        NoSourceReadable: no person could be learned, or the video cannot be read.
        StorageError: a file cannot be written; what is done is kept.
    """
    video, to, home = whole_path(video, "video"), whole_path(to, "to"), whole_path(home, "home")
    if not video.is_file():
        raise SourceNotFound(f"no file {video}: check the path")
    config = track_config(people, config or load_config("surveillance"), every_s=every_s)
    summary = generate_dataset([str(video)], config, name="track", home=home, retry_failed=True)
    order = TrackOrder(sha256_of(video), config.run_id(), config, to)
    get_run_logger().info("run %s: writing %s", summary.run_id, to)
    return write_tracks_task(open_context(Home(home)), order)


def track_config(people: OsvosBlock, config: RunConfig, *, every_s: float = 0.0) -> RunConfig:
    """Return the config of the run: all sampled frames, these people as the teacher, the config's student.

    Raises:
        ConfigError: the time between frames is negative, or the config has other categories than people.
    """
    require_people(categories_of(config), "track")
    if every_s < 0:
        raise ConfigError(f"every_s is {every_s}: give 0 for every frame, or a time in seconds")
    sampling = config.sampling.model_dump() | {"every_s": every_s, "min_gap_s": every_s}
    sampling |= {"max_hash_distance": None, "min_sharpness": 0.0}
    changes = {
        "sampling": Sampling.model_validate(sampling),
        "pose_filter": None,
        "teacher": people,
        "trust": Trust(),
    }
    return config.model_copy(update=changes)


if __name__ == "__main__":
    track_people.serve("track-people")
