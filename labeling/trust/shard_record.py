"""What was measured in the pixels of one shard: its samples, tracks, stored images, static regions and motion.

With it, other thresholds and rules are applied to the shard without decoding the video; what does need pixels, such as
a frame that a model has not seen, is decoded alone. The files can be deleted at any time.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Self

import labeling
from configs.models import RunConfig
from labeling.sampling.replay import SampleRecord
from labeling.sampling.select import MinGap, ShotBounds, SkippedFrame, select_frames
from labeling.storage.observations import Observation, ObservationFile
from labeling.structures.frames import Clip, Frame
from labeling.tracking.kept_tracks import KeptTracks
from labeling.trust.flow_consistency import KeptFlows
from labeling.trust.static_regions import StaticRegionDetector
from labeling.video.decode import DecodeStats
from labeling.video.lazy import PixelReader

_CODE = ("background", "sampling", "storage", "structures", "tracking", "trust", "video")
"""Rooms whose code changes what is measured."""


@dataclass(slots=True)
class ShardRecord:
    """What is known of a shard before it is labeled, and what labeling adds."""

    is_known: bool = False
    """The frames were sampled and observed before."""
    samples: SampleRecord = field(default_factory=SampleRecord)
    tracks: KeptTracks = field(default_factory=KeptTracks)
    images: dict[int, str] = field(default_factory=dict)
    """Names of the stored images, by frame key."""
    regions: StaticRegionDetector = field(default_factory=StaticRegionDetector)
    flows: KeptFlows = field(default_factory=KeptFlows)
    _frames_file: ObservationFile | None = None
    _tracks_file: ObservationFile | None = None
    _known_images: int = 0

    @classmethod
    def read(cls, folder: Path, clip: Clip, config: RunConfig) -> Self:
        """Return what the files below `folder` know about a clip."""
        name = f"{_range(clip)}.npz"
        sampled = repr((*_sampling(clip, config), config.jpeg_quality, config.trust.watches_shots))
        tracked = repr((sampled, config.tracking))
        paths = (folder / _folder_name(settings) / clip.video_id / name for settings in (sampled, tracked))
        record = cls(_frames_file=ObservationFile(next(paths)), _tracks_file=ObservationFile(next(paths)))
        record._read_files()
        return record

    def sample(
        self, clip: Clip, config: RunConfig, pixels: PixelReader, bounds: ShotBounds, stats: DecodeStats
    ) -> Iterator[Frame | SkippedFrame]:
        """Yield the sampled frames, without their pixels if they were sampled before."""
        if self.is_known:
            return self.samples.replay(clip, pixels, bounds, stats)
        gap_here = config.pose_filter is None
        selected = select_frames(clip, config.sampling, gap_here=gap_here, stats=stats, bounds=bounds)
        return self.samples.record(selected, bounds, stats)

    def save(self) -> None:
        """Write what is new.

        Raises:
            StorageError: the disk is full or not writable.
        """
        if self._frames_file and (not self.is_known or len(self.images) > self._known_images):
            seen = self.regions.to_observation()
            values = {"samples": self.samples.to_values(), "images": list(self.images.items())}
            self._frames_file.write(Observation(seen.values | values, seen.arrays))
        if self._tracks_file and (self.tracks.has_new or self.flows.has_new):
            known = {"numbers": self.tracks.numbers, "ends": self.tracks.ends, "flows": self.flows.known}
            self._tracks_file.write(Observation(known))

    def _read_files(self) -> None:
        seen = self._frames_file.read() if self._frames_file else None
        tracks = self._tracks_file.read() if self._tracks_file else None
        if tracks:
            self.tracks = KeptTracks(tracks.values["numbers"], tracks.values["ends"])
            self.flows = KeptFlows(tracks.values["flows"])
        if seen:
            self.is_known, self.samples = True, SampleRecord.from_values(seen.values["samples"])
            self.images = dict(seen.values["images"])
            self._known_images = len(self.images)
            self.regions = StaticRegionDetector.from_observation(seen)


def _sampling(clip: Clip, config: RunConfig) -> tuple[Any, ...]:
    """Return all that decides which frames are sampled, and what their pixels are."""
    gap_s = MinGap.of(config.sampling).min_gap_s if config.pose_filter is None else Fraction(0)
    settings = config.sampling.model_dump(exclude={"shard_s", "shard_images", "min_gap_s"})
    return clip.levels, gap_s, settings


def _range(clip: Clip) -> str:
    """Return the first key of a clip's frames, and the number of images, or the end in ms."""
    if clip.images:
        return f"{min(image.position for image in clip.images):015}-{len(clip.images)}"
    end_ms = "end" if clip.end_s is None else f"{int(1000 * clip.end_s):015}"
    return f"{int(1000 * clip.start_s):015}-{end_ms}"


def _folder_name(settings: str) -> str:
    return hashlib.sha256(f"{settings}\x1f{_code_hash()}".encode()).hexdigest()[:16]


@cache
def _code_hash() -> str:
    """Hash the code that samples, observes and tracks: what other code measured is not used."""
    root = Path(labeling.__file__).parent
    files = sorted(file for room in _CODE for file in (root / room).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
