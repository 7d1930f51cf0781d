"""The sampled frames of a clip as plain values, from which they are given again without decoding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Self

from labeling.sampling.select import ShotBounds, SkippedFrame
from labeling.structures.frames import Clip, Frame
from labeling.video.decode import DecodeStats
from labeling.video.lazy import PixelReader


@dataclass(slots=True)
class SampleRecord:
    """What sampling gave for one clip."""

    items: list[list[Any]] = field(default_factory=list)
    """Time in ms, position, shot, sharpness and name of each frame; the rule that skipped it, or exact time and size."""
    starts_with_cut: bool = False
    last_shot: int | None = None
    damaged: int = 0

    @classmethod
    def from_values(cls, values: Sequence[Any]) -> Self:
        return cls(*values)

    def to_values(self) -> list[Any]:
        return [self.items, self.starts_with_cut, self.last_shot, self.damaged]

    def record(
        self, sampled: Iterator[Frame | SkippedFrame], bounds: ShotBounds, stats: DecodeStats
    ) -> Iterator[Frame | SkippedFrame]:
        """Yield the same frames; the record is complete after the last one."""
        for item in sampled:
            rest = (
                [item.rule]
                if isinstance(item, SkippedFrame)
                else [None, *item.t.as_integer_ratio(), *item.size_hw]
            )
            self.items.append([item.pts_ms, item.index, item.shot, item.sharpness, item.name, *rest])
            yield item
        self.starts_with_cut, self.last_shot = bounds.starts_with_cut, bounds.last_shot
        self.damaged = stats.damaged

    def replay(
        self, clip: Clip, pixels: PixelReader, bounds: ShotBounds, stats: DecodeStats
    ) -> Iterator[Frame | SkippedFrame]:
        """Yield the frames again; their pixels are decoded if something reads them."""
        bounds.starts_with_cut, bounds.last_shot = self.starts_with_cut, self.last_shot
        stats.damaged = self.damaged
        files = {image.position: image for image in clip.images}
        for pts_ms, index, shot, sharpness, name, rule, *rest in self.items:
            if rule is not None:
                yield SkippedFrame(pts_ms, shot, sharpness, rule, name, index)
                continue
            t, size_hw = Fraction(rest[0], rest[1]), (rest[2], rest[3])
            image = pixels.frame(t, size_hw) if index is None else pixels.image(files[index], size_hw)
            yield Frame(clip.video_id, pts_ms, image, shot, sharpness, name, t, index)
