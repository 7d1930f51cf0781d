"""Run one segmenter on one image or frame, and describe what it sees."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from configs.errors import ConfigError, NoSuchPart, UnsupportedVideo
from configs.models import RunConfig
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.shared import check_output
from labeling.sources.file_types import is_image_name, is_video_name
from labeling.storage.outputs import encode_drawing
from labeling.structures.frames import Clip, Frame, ImageFile, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import union_masks
from labeling.text.figures import count_of, percent
from labeling.video.decode import decode_clip
from labeling.video.images import image_pixels, read_image
from labeling.video.probe import probe_video, refuse_large_frames
from labeling.visualization.overlay_video import draw_people

_NEARLY_ALL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What a segmenter saw in one image."""

    rgb: RgbImage
    model: str
    description: str
    """Shapes, types and ranges of a network, or what masks were taken for; empty for other segmenters."""
    instances: tuple[Instance, ...]

    @property
    def person_share(self) -> float:
        """Share of the image's pixels that belong to people."""
        size_hw = (self.rgb.shape[0], self.rgb.shape[1])
        area_px = union_masks([one.mask for one in self.instances], size_hw).area_px
        return area_px / (size_hw[0] * size_hw[1])

    def figures(self) -> dict[str, Any]:
        """Return what `maskmill try --json` writes."""
        people = [
            {"score": one.score, "area_px": one.mask.area_px, "box_xywh": one.mask.box_xywh}
            for one in self.instances
        ]
        return {
            "model": self.model,
            "description": self.description,
            "person_share": self.person_share,
            "people": people,
        }

    def lines(self) -> Iterator[str]:
        """Yield the description for people, with a question where the result is suspicious."""
        yield self.model
        if self.description:
            yield self.description
        share = percent(self.person_share, 1.0)
        yield f"{count_of(len(self.instances), 'mask')}, {share} of the image"
        for one in self.instances:
            x, y, w, h = (round(side) for side in one.mask.box_xywh)
            yield f"  score {one.score:.2f}, {one.mask.area_px:,} px, {w}x{h} at {x}, {y}"
        if not self.instances:
            yield "No person: if the image shows one, check scale, layout, channels, output and person_class."
        elif self.person_share > _NEARLY_ALL:
            yield "Nearly the whole image is a person: check output (logits or probability), layout and person_class."


def try_segmenter(
    config: RunConfig, image: Path, *, role: Literal["student", "teacher"] | str, at_s: float | None = None
) -> Trial:
    """Load a config's student or teacher, and run it on one image, or on a video's frame at `at_s` (None: its middle).

    Raises:
        SourceError: the image or frame cannot be read, or has more pixels than `ingest.max_pixels`.
        ModelError: the segmenter cannot be loaded, or its output is wrong.
    """
    clip, frame = _read_frame(image, at_s, config.ingest.max_pixels)
    block = config.segmenters()[role]
    segmenter = make_segmenter(block, weights_dir=config.weights_dir, device=config.device, batch=1)
    frames = [frame]
    found = segmenter.prepare(clip).segment(frames)
    name = f"{segmenter.card.kind}:{segmenter.card.name}"
    check_output(name, frames, found)
    describe = getattr(segmenter, "describe", None)
    return Trial(frame.rgb, name, describe() if describe else "", tuple(found[0]))


def _read_frame(path: Path, at_s: float | None, max_pixels: int) -> tuple[Clip, Frame]:
    if at_s is not None and is_image_name(path.name):
        raise ConfigError(f"--at is for videos, and {path} is an image: leave it out")
    if not (is_video_name(path.name) or at_s is not None):
        if image_pixels(path) > max_pixels:
            raise UnsupportedVideo(
                f"{path} has more pixels than ingest.max_pixels, {max_pixels:,}: raise it, or shrink the image"
            )
        image = Frame("try", None, read_image(path), name=path.name, index=0)
        return Clip("try", images=(ImageFile(0, path),)), image
    facts = probe_video(path)
    refuse_large_frames(path, facts.size_hw, max_pixels)
    duration_s = facts.duration_s
    t = duration_s / 2 if at_s is None else Fraction(str(at_s))
    clip = Clip("try", path)
    found = next(decode_clip(replace(clip, start_s=t)), None)
    if found is None:
        raise NoSuchPart(
            f"{path} is {float(duration_s):.2f} s long, and has no frame at {float(t):g} s: give an earlier --at"
        )
    return clip, Frame("try", found.pts_ms, found.to_rgb(), t=found.t)


def draw_trial(trial: Trial) -> bytes:
    """Return the image with its masks drawn on it, as PNG."""
    masks = {number: one.mask for number, one in enumerate(trial.instances, start=1)}
    drawn = draw_people(trial.rgb, masks)
    return encode_drawing(drawn)
