"""How much the masks of consecutive frames differ along the motion, for several configs and mattes.

    python benchmarks/flicker.py VIDEO|FOLDER [--fps N] [--truth FOLDER] [--start N] [--frames N] \\
        --config 'lite weights_dir=DIR' --config 'lite weights_dir=DIR teacher.refine=[flow_smoothing]' \\
        [--alpha NAME=FOLDER]

A config is a preset or a file, followed by the keys that change; its teacher runs on `--frames` frames from `--start` on.
An `--alpha` folder has one gray image per frame of the whole video, in order of their names, as `maskmill matte` writes
them; a mask is where alpha is above 0.5. Printed for each: the mean IoU of a frame's masks with those of the frame
before, moved by optical flow (pixels whose flow is not consistent do not count), the mean IoU with the ground truth (PNG
masks with the names of the frames; masks apart from the labeled person do not count), and the time per frame.
"""

import argparse
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from more_itertools import batched

from configs.ground_truth import LabeledSet
from configs.load import load_config
from labeling.evaluation.evaluate import iou_with_ground_truth
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ground_truth import read_labeled
from labeling.evaluation.ignore_regions import leave_out_unlabeled
from labeling.evaluation.matte_files import read_alpha
from labeling.segmenters.factory import load_models
from labeling.sources.file_types import is_image_name, natural_order
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.structures.probability_maps import find_components
from labeling.trust.flow_consistency import PreviousFrame, measure_flow_iou
from labeling.video.decode import decode_clip

WIDTH_PX = 480
"""Width of the images between which masks are moved."""


def main() -> None:
    options = read_options()
    clip = open_clip(options.video, options.fps)
    chosen = slice(options.start, None if options.frames is None else options.start + options.frames)
    frames = list(read_frames(clip, chosen))
    truth = read_truth(options.video, options.truth) if options.truth else {}
    print(f"{options.video.name}: {len(frames)} frames")
    print(f"{'':44}{'warped IoU':>11}{'pairs':>7}{'IoU':>8}{'masks':>7}{'s/frame':>9}")
    for text in options.config:
        begin = time.perf_counter()
        people = segment(text, clip, frames, options.batch)
        report(text, frames, people, truth, (time.perf_counter() - begin) / len(frames))
    for text in options.alpha:
        name, _, folder = text.partition("=")
        report(name, frames, list(read_alphas(Path(folder), chosen)), truth, None)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path, help="video, or folder of its frames")
    parser.add_argument("--fps", type=float, default=24.0, help="of a folder of frames")
    parser.add_argument("--truth", type=Path, help="folder of PNG masks")
    parser.add_argument("--start", type=int, default=0, metavar="N")
    parser.add_argument("--frames", type=int, metavar="N", help="default: all")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--config", action="append", default=[], metavar="'NAME [KEY=VALUE ...]'")
    parser.add_argument("--alpha", action="append", default=[], metavar="NAME=FOLDER")
    return parser.parse_args()


def open_clip(video: Path, fps: float) -> Clip:
    if video.is_file():
        return Clip(video.stem, video)
    paths = sorted(filter(lambda path: is_image_name(path.name), video.iterdir()), key=order)
    files = (ImageFile(i, path, pts_ms=round(1000 * i / fps)) for i, path in enumerate(paths))
    return Clip(video.name, images=tuple(files))


def order(path: Path) -> list[object]:
    return [*natural_order(path.name)]


def read_frames(clip: Clip, chosen: slice) -> Iterator[Frame]:
    for one in islice(decode_clip(clip), chosen.start, chosen.stop):
        yield Frame(clip.video_id, one.pts_ms, one.to_rgb(), name=one.name, t=one.t, index=one.index)


def read_truth(images: Path, masks: Path) -> Mapping[str, LabeledImage]:
    labeled = LabeledSet.model_validate({"images": images, "masks": masks, "partial": True})
    return {image.name: image for image in read_labeled(labeled)}


def segment(text: str, clip: Clip, frames: Sequence[Frame], batch: int) -> list[list[Instance]]:
    name, *changes = shlex.split(text)
    teacher = load_models(load_config(name, changes)).teacher.prepare(clip)
    return [people for some in batched(frames, batch) for people in teacher.segment(some)]


def read_alphas(folder: Path, chosen: slice) -> Iterator[list[Instance]]:
    """Yield the connected parts of each matte, so that those apart from the labeled person can be left out."""
    paths = sorted(filter(lambda path: is_image_name(path.name), folder.iterdir()), key=order)
    for path in paths[chosen]:
        parts = find_components(read_alpha(path) > 0.5, min_area=0.0, min_aspect_ratio=0.0)
        masks = map(Mask.from_array, parts)
        yield [Instance(mask, 1.0, mask.box_xywh) for mask in masks]


def report(
    name: str,
    frames: Sequence[Frame],
    people: Sequence[Sequence[Instance]],
    truth: Mapping[str, LabeledImage],
    seconds: float | None,
) -> None:
    seen = [PreviousFrame.of(*pair, width_px=WIDTH_PX) for pair in zip(frames, people, strict=True)]
    found = [measure_flow_iou(now, before) for before, now in pairwise(seen)]
    warped = [iou for iou in found if iou is not None]
    ious = [
        iou_of([one.mask for one in some], truth[frame.name])
        for frame, some in zip(frames, people, strict=True)
        if frame.name in truth
    ]
    masks = np.mean([len(some) for some in people])
    mean = f"{np.mean(ious):8.4f}" if ious else f"{'-':>8}"
    time_s = "-" if seconds is None else f"{seconds:.3f}"
    short = " ".join(part for part in name.split() if not part.startswith("weights_dir="))
    print(
        f"{short[:43]:44}{np.mean(warped):11.4f}{len(warped):7}{mean}{masks:7.2f}{time_s:>9}",
        flush=True,
    )


def iou_of(masks: Sequence[Mask], labeled: LabeledImage) -> float:
    return iou_with_ground_truth(masks, leave_out_unlabeled(labeled, masks))


if __name__ == "__main__":
    main()
