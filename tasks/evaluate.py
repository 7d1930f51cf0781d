"""Running teacher, student, agreement and decision on labelled pictures, exactly as a run does."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from configs.models import RunConfig
from configs.truth import LabelledSet
from labeling.evaluation.frames import EvaluatedFrame, evaluate_frame
from labeling.evaluation.summary import SetSummary, summarise_frames
from labeling.instances import Clip, PictureFile
from labeling.pipeline import label_shard
from labeling.storage import Home
from labeling.truth.pictures import LabelledPicture, read_labelled
from tasks.models import load_models


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `maskmill evaluate --json` writes."""

    run: str
    """Id that a run of this config has: the same settings, the same id."""
    hard_below: float
    sets: dict[str, SetSummary]
    """By name, and `all` together."""
    frames: list[EvaluatedFrame]


def evaluate(sets: Mapping[str, LabelledSet], config: RunConfig) -> Evaluation:
    """Look at every labelled picture as a run of this config would; nothing of it is kept.

    The pictures of a set are one clip: a background model learns from all of them.

    Raises:
        ConfigError: ground truth cannot be read.
        ModelError: a segmenter cannot be loaded, or the truth has another size than its picture.
    """
    labelled = {name: read_labelled(one) for name, one in sets.items()}  # told before models are loaded
    frames = [frame for name, pictures in labelled.items() for frame in _evaluate_set(name, pictures, config)]
    return Evaluation(config.run_id(), config.agreement.hard_below, summarise_frames(frames), frames)


def _evaluate_set(name: str, pictures: list[LabelledPicture], config: RunConfig) -> list[EvaluatedFrame]:
    files = tuple(PictureFile(position, one.path) for position, one in enumerate(pictures))
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.create()
        shard = label_shard(Clip(name, pictures=files), load_models(config), config, home)
    return [evaluate_frame(name, pictures[row.t_ms], row) for row in shard.frames]
