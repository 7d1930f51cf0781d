"""Run teacher, student, agreement and decision on labeled images, exactly as a run does, and score them."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.ground_truth import LabeledSet
from configs.models import RunConfig
from labeling.evaluation.frames import EvaluatedFrame, evaluate_frame
from labeling.evaluation.ground_truth import LabeledImage, read_labeled
from labeling.evaluation.summary import POOLED, SetSummary, false_accepts, missed_failures, summarize_frames
from labeling.pipeline import label_shard
from labeling.report.evaluation import EvaluationPage, render_evaluation
from labeling.storage.home import Home
from labeling.structures.frames import Clip, ImageFile
from labeling.structures.instances import Instance
from labeling.structures.records import LabeledFrame
from labeling.video.images import read_image
from labeling.visualization.frames import tile_jpeg
from tasks.execution.models import load_models

MAX_TILES = 12
"""Images in each part of the page."""


@dataclass(frozen=True, slots=True)
class EvaluatedImage:
    """One labeled image with the predictions for it and their scores."""

    labeled: LabeledImage
    predicted: LabeledFrame
    frame: EvaluatedFrame


@dataclass(frozen=True)
class Evaluation:
    """The scores of a config against ground truth."""

    run: str
    """Id that a run of this config has: the same settings, the same id."""
    hard_below: float
    cases: list[EvaluatedImage]

    @cached_property
    def frames(self) -> list[EvaluatedFrame]:
        return [case.frame for case in self.cases]

    @cached_property
    def sets(self) -> dict[str, SetSummary]:
        """Summaries by name of the set, and `all` sets pooled."""
        return summarize_frames(self.frames)

    def figures(self) -> dict[str, Any]:
        """Return what `maskmill evaluate --json` writes, with the fields of `SetSummary` and `EvaluatedFrame`."""
        sets = {name: asdict(summary) for name, summary in self.sets.items()}
        frames = [asdict(frame) for frame in self.frames]
        return {"run": self.run, "hard_below": self.hard_below, "sets": sets, "frames": frames}

    def page(self, config_name: str) -> str:
        """Render all figures and the worst images as one HTML page."""
        return render_evaluation(
            EvaluationPage(
                run_id=self.run,
                config_name=config_name,
                hard_below=self.hard_below,
                sets=self.sets,
                frames=self.frames,
                false_accepts=self._tiles(false_accepts(self.frames)[:MAX_TILES], "teacher"),
                missed_failures=self._tiles(missed_failures(self.frames)[:MAX_TILES], "student"),
            )
        )

    def _tiles(self, frames: list[EvaluatedFrame], role: str) -> Iterator[tuple[EvaluatedFrame, bytes]]:
        """Draw the ground truth beside the masks of one of the models, as JPEG."""
        cases = {(case.frame.dataset, case.frame.name): case for case in self.cases}
        for frame in frames:
            case = cases[frame.dataset, frame.name]
            truth = [Instance(mask, 1.0, mask.box_xywh) for mask in case.labeled.people]
            predicted = case.predicted.teacher if role == "teacher" else case.predicted.student
            yield frame, tile_jpeg(read_image(case.labeled.path), truth, predicted)


def evaluate(sets: Mapping[str, LabeledSet], config: RunConfig) -> Evaluation:
    """Evaluate every labeled image as a run of this config would label it; nothing is stored.

    The images of a set are one clip, so a background model learns from all of them.

    Raises:
        ConfigError: ground truth cannot be read, or a set is called `POOLED`.
        ModelError: a segmenter cannot be loaded, or ground truth and image differ in size.
    """
    if POOLED in sets:
        raise ConfigError(
            f"a labeled set cannot be called {POOLED!r}, the name of all sets pooled: rename it"
        )
    labeled = {name: read_labeled(one) for name, one in sets.items()}  # fails before models are loaded
    cases = [case for name, images in labeled.items() for case in _evaluate_set(name, images, config)]
    return Evaluation(config.run_id(), config.agreement.hard_below, cases)


def _evaluate_set(name: str, images: list[LabeledImage], config: RunConfig) -> Iterator[EvaluatedImage]:
    files = tuple(ImageFile(position, one.path, pts_ms=one.pts_ms) for position, one in enumerate(images))
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.create()
        shard = label_shard(Clip(name, images=files), load_models(config), config, home)
    for predicted in shard.frames:
        labeled = images[predicted.key]
        yield EvaluatedImage(labeled, predicted, evaluate_frame(name, labeled, predicted, shard.cards))
