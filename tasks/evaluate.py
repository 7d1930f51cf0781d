"""Compare models with labeled images, exactly as a run labels them, and mattes and plates with their ground truth."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from configs.categories import PERSON, categories_of
from configs.errors import ConfigError
from configs.ground_truth import GroundTruth, LabeledSet, MattedVideo
from configs.models import RunConfig
from labeling.datasets.readers.notes import ReaderNotes
from labeling.evaluation.categories import of_category
from labeling.evaluation.consecutive_frames import add_errors_over_time
from labeling.evaluation.evaluate import evaluate_frame
from labeling.evaluation.frames import EvaluatedFrame, EvaluatedImage, LabeledImage
from labeling.evaluation.ground_truth import read_labeled
from labeling.evaluation.matte_files import MatteReader, match_frames, read_frame_image
from labeling.evaluation.matte_summary import MatteSummary
from labeling.evaluation.matted_videos import (
    evaluate_matte,
    evaluate_plate,
    with_mean_of_mattes,
    with_mean_of_plates,
)
from labeling.evaluation.plate_metrics import PlateMetrics
from labeling.evaluation.summary import POOLED, SetSummary, false_accepts, missed_failures, summarize_frames
from labeling.pipeline import label_shard
from labeling.report.evaluation import EvaluationPage, render_evaluation
from labeling.report.mattes import MatteTile
from labeling.segmenters.factory import load_models
from labeling.storage.home import Home
from labeling.structures.frames import Clip, ImageFile
from labeling.structures.instances import Instance
from labeling.video.images import read_image
from labeling.visualization.frames import tile_jpeg
from labeling.visualization.mattes import matte_jpeg

MAX_TILES = 12
"""Images in each part of the page."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a config, and of mattes and plates, against ground truth."""

    run: str
    """Id that a run of this config has: the same settings, the same id."""
    hard_below: float
    cases: list[EvaluatedImage]
    videos: Mapping[str, MattedVideo] = field(default_factory=dict)
    mattes: Mapping[str, MatteSummary] = field(default_factory=dict)
    """Metrics by name of the video, and their mean as `all`; empty without mattes."""
    plates: Mapping[str, PlateMetrics] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What was left out of the ground truth, and how unusual masks were read."""

    @cached_property
    def frames(self) -> list[EvaluatedFrame]:
        return [case.frame for case in self.cases]

    @cached_property
    def sets(self) -> dict[str, SetSummary]:
        """Summaries by name of the set, and `all` sets pooled; empty without labeled images."""
        return summarize_frames(self.frames) if self.frames else {}

    def figures(self) -> dict[str, Any]:
        """Return what `maskmill evaluate --json` writes, with the fields of `SetSummary` and `EvaluatedFrame`."""
        sets = {name: asdict(summary) for name, summary in self.sets.items()}
        frames = [asdict(frame) for frame in self.frames]
        videos = {
            kind: {name: asdict(one) for name, one in rows.items()}
            for kind, rows in (("mattes", self.mattes), ("plates", self.plates))
        }
        return {"run": self.run, "hard_below": self.hard_below, "sets": sets, "frames": frames, **videos} | {
            "notes": list(self.notes)
        }

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
                mattes=self.mattes,
                plates=self.plates,
                worst_mattes=self._matte_tiles(),
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

    def _matte_tiles(self) -> Iterator[MatteTile]:
        """Draw the worst frames of each matte beside their ground truth."""
        with_matte = {name: video for name, video in self.videos.items() if name in self.mattes}
        for name, video in with_matte.items():
            worst = self.mattes[name].worst(max(1, MAX_TILES // len(with_matte)))
            frames, reader = {frame.number: frame for frame in match_frames(video).frames}, MatteReader(video)
            for score in worst:
                frame, pair = frames[score.number], reader.read(frames[score.number])
                rgb = read_frame_image(frame.image, pair.truth.shape) if frame.image else None
                jpeg = matte_jpeg(pair.alpha, pair.truth, pair.known, rgb=rgb)
                yield MatteTile(jpeg, frame.truth.name, name, score.iou, score.mad)


def evaluate(sets: Mapping[str, GroundTruth], config: RunConfig) -> Evaluation:
    """Evaluate every labeled image as a run of this config would label it, and every matte and plate; nothing is stored.

    The images of a set are one clip, so a background model learns from all of them. With several categories, each is a set
    of its own, `SET/CATEGORY`; they are those of the COCO file with the same names. Mattes and plates do not depend on
    the config; without labeled images no model is loaded.

    Raises:
        ConfigError: ground truth, a matte or a plate cannot be read, or a set is called `POOLED`.
        ModelError: a segmenter cannot be loaded, or ground truth and image differ in size.
    """
    if POOLED in sets:
        raise ConfigError(
            f"a labeled set cannot be called {POOLED!r}, the name of all sets pooled: rename it"
        )
    notes = ReaderNotes()
    labeled = {
        name: _read_by_category(name, one, config, notes)
        for name, one in sets.items()
        if isinstance(one, LabeledSet)
    }
    videos = {name: one for name, one in sets.items() if isinstance(one, MattedVideo)}
    # What can fail for a wrong path comes before models are loaded.
    mattes = {name: evaluate_matte(video) for name, video in videos.items() if video.matte}
    plates = {
        name: evaluate_plate(video.plate, video.background)
        for name, video in videos.items()
        if video.plate and video.background
    }
    cases = [case for name, images in labeled.items() for case in _evaluate_set(name, images, config)]
    return Evaluation(
        config.run_id(),
        config.agreement.hard_below,
        cases,
        videos,
        with_mean_of_mattes(mattes),
        with_mean_of_plates(plates),
        tuple(notes.lines()),
    )


def _read_by_category(
    name: str, labeled: LabeledSet, config: RunConfig, notes: ReaderNotes
) -> dict[str, list[LabeledImage]]:
    """Return the labeled images with the instances of each of the config's categories."""
    categories = categories_of(config)
    if categories == (PERSON,):
        return {PERSON: read_labeled(labeled, notes=notes)}
    if labeled.coco is None:
        raise ConfigError(
            f"{name}: PNG masks have no categories, and the config maps classes to {', '.join(categories)}: give a COCO file"
        )
    return {
        category: read_labeled(
            labeled if category == PERSON else labeled.model_copy(update={"person_category": (category,)}),
            notes=notes,
        )
        for category in categories
    }


def _evaluate_set(
    name: str, by_category: Mapping[str, list[LabeledImage]], config: RunConfig
) -> Iterator[EvaluatedImage]:
    """Label the images once, and judge each category."""
    images = next(iter(by_category.values()))
    files = tuple(ImageFile(position, one.path, pts_ms=one.pts_ms) for position, one in enumerate(images))
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.create()
        shard = label_shard(Clip(name, images=files), load_models(config), config, home)
    is_semantic = not shard.cards["student"].gives_instances
    for category, labeled in by_category.items():
        set_name = name if len(by_category) == 1 else f"{name}/{category}"
        rows = [
            of_category(row, category, config.agreement, student_is_semantic=is_semantic)
            for row in shard.frames
        ]
        pairs = [(labeled[row.key], row) for row in rows]
        yield from add_errors_over_time(
            [EvaluatedImage(*pair, evaluate_frame(set_name, *pair, shard.cards)) for pair in pairs]
        )
