"""Running teacher, student, agreement and decision on labeled images, exactly as a run does."""

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
from labeling.evaluation.summary import POOLED, SetSummary, summarize_frames
from labeling.evaluation.worst import false_accepts, missed_failures
from labeling.pipeline import label_shard
from labeling.report.contents import ExampleImage
from labeling.report.evaluation import EvaluationPage, render_evaluation
from labeling.storage.home import Home
from labeling.structures.frames import Clip, ImageFile
from labeling.structures.instances import Instance
from labeling.structures.records import LabeledFrame
from labeling.video.images import read_image
from labeling.visualization.frames import tile_jpeg
from tasks.execution.models import load_models

MOST_TILES = 12
"""Images in each part of the page."""


@dataclass(frozen=True, slots=True)
class EvaluatedImage:
    """One labeled image: what is true, what was seen, and what that means."""

    truth: LabeledImage
    seen: LabeledFrame
    frame: EvaluatedFrame


@dataclass(frozen=True)
class Evaluation:
    """What a config does with ground truth."""

    run: str
    """Id that a run of this config has: the same settings, the same id."""
    hard_below: float
    cases: list[EvaluatedImage]

    @cached_property
    def frames(self) -> list[EvaluatedFrame]:
        return [case.frame for case in self.cases]

    @cached_property
    def sets(self) -> dict[str, SetSummary]:
        """By name, and `all` together."""
        return summarize_frames(self.frames)

    def figures(self) -> dict[str, Any]:
        """What `maskmill evaluate --json` writes: `run`, `hard_below`, and as the fields of `SetSummary` and
        `EvaluatedFrame` say, `sets` by name and `frames`."""
        sets = {name: asdict(one) for name, one in self.sets.items()}
        frames = [asdict(frame) for frame in self.frames]
        return {"run": self.run, "hard_below": self.hard_below, "sets": sets, "frames": frames}

    def page(self, config_name: str) -> str:
        """All figures, and the images that say most, as one HTML page."""
        return render_evaluation(
            EvaluationPage(
                run_id=self.run,
                config_name=config_name,
                hard_below=self.hard_below,
                sets=self.sets,
                frames=self.frames,
                false_accepts=self._tiles(false_accepts(self.frames)[:MOST_TILES], "teacher"),
                missed_failures=self._tiles(missed_failures(self.frames)[:MOST_TILES], "student"),
            )
        )

    def _tiles(self, frames: list[EvaluatedFrame], role: str) -> Iterator[ExampleImage]:
        """The truth beside what one of the models saw."""
        cases = {(case.frame.dataset, case.frame.name): case for case in self.cases}
        for frame in frames:
            case = cases[frame.dataset, frame.name]
            truth = [Instance(mask, 1.0, mask.box_xywh) for mask in case.truth.people]
            seen = case.seen.teacher if role == "teacher" else case.seen.student
            yield ExampleImage(
                jpeg=tile_jpeg(read_image(case.truth.path), truth, seen),
                title=frame.name,
                t_ms=None,
                name=frame.dataset,
                iou=frame.teacher_iou if role == "teacher" else frame.student_iou,
                decision=frame.decision,
                reasons=frame.reasons,
            )


def evaluate(sets: Mapping[str, LabeledSet], config: RunConfig) -> Evaluation:
    """Look at every labeled image as a run of this config would; nothing of it is kept.

    The images of a set are one clip: a background model learns from all of them.

    Raises:
        ConfigError: ground truth cannot be read, or a set is called `POOLED`.
        ModelError: a segmenter cannot be loaded, or the truth has another size than its image.
    """
    if POOLED in sets:
        raise ConfigError(f"a labeled set cannot be called {POOLED!r}: that is all of them together")
    labeled = {name: read_labeled(one) for name, one in sets.items()}  # told before models are loaded
    cases = [case for name, images in labeled.items() for case in _evaluate_set(name, images, config)]
    return Evaluation(config.run_id(), config.agreement.hard_below, cases)


def _evaluate_set(name: str, images: list[LabeledImage], config: RunConfig) -> Iterator[EvaluatedImage]:
    files = tuple(ImageFile(position, one.path, t_ms=one.t_ms) for position, one in enumerate(images))
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.create()
        shard = label_shard(Clip(name, images=files), load_models(config), config, home)
    for seen in shard.frames:
        truth = images[seen.t_ms]
        yield EvaluatedImage(truth, seen, evaluate_frame(name, truth, seen, shard.cards))
