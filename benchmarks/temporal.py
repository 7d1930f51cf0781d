"""Mattes over time on fake-motion clips: masks of a segmenter, smoothed along the motion, and the recurrent network.

    maskmill synthesize --people COCO --backgrounds FOLDER --clips 20 --to clips
    python benchmarks/temporal.py clips [--clips N] [--weights FILE] [--without FILE] [--images DIR] [--only a b ...]

Compared: (a) the masks of `lite`, frame by frame; (b) the same, averaged along the motion by `flow_smoothing`; (m) the masks
of `--config moving`; (p) the same, averaged along the motion, as its network is given them; (c) `maskmill matte --config
moving`; (d) with `--without`, the same with a network that was trained with `is_recurrent: false`. Prints the means over the clips of IoU (alpha from 0.5 on), MAD, MSE, dtSSD and MESSDdt; the motion is exact. Weights of `lite`:
MASKMILL_SHARED.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matting import lite_segmenter
from numpy.typing import NDArray

from configs.load import load_config
from configs.refinement import FlowSmoothingBlock
from labeling.datasets.formats.kitti_flow import decode_flow
from labeling.evaluation.matte_metrics import MatteMeter
from labeling.evaluation.temporal_metrics import Motion
from labeling.matting.moving_people import Finder, follow_people
from labeling.matting.moving_stream import matte_moving_clip
from labeling.matting.temporal_network import TemporalNetwork
from labeling.refinement.flow_smoothing import FlowSmoothingRefiner
from labeling.segmenters.lite import LiteSegmenter
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, union_masks
from labeling.video.decode import decode_clip

FloatImage = NDArray[np.float32]
Method = Callable[[Clip], Iterator[FloatImage]]
COLUMNS = ("IoU", "MAD e-3", "MSE e-3", "dtSSD e-3", "MESSDdt e-3")


def masks_of(lite: Segmenter) -> Method:
    """Return the method that takes the union of a segmenter's masks."""
    return _each_frame(
        lite,
        lambda frame, people: (
            union_masks([person.mask for person in people], frame.size_hw).to_array().astype(np.float32)
        ),
    )


def smoothed_masks_of(lite: Segmenter) -> Method:
    """Return the method that takes the largest of the people's masks, averaged along their motion."""

    def matte(clip: Clip) -> Iterator[FloatImage]:
        refiner = FlowSmoothingRefiner(FlowSmoothingBlock()).prepare(clip, lite.prepare(clip).segment)

        def merge(frame: Frame, people: Sequence[Instance]) -> FloatImage:
            maps = refiner.smooth_maps(frame, people)
            return np.asarray(np.stack([np.zeros(frame.size_hw), *maps]).max(axis=0), dtype=np.float32)

        return _each_frame(lite, merge)(clip)

    return matte


def _each_frame(lite: Segmenter, merge: Callable[[Frame, Sequence[Instance]], FloatImage]) -> Method:
    def matte(clip: Clip) -> Iterator[FloatImage]:
        prepared = lite.prepare(clip)
        for index, decoded in enumerate(decode_clip(clip)):
            frame = Frame(clip.video_id, decoded.pts_ms, decoded.to_rgb(), t=decoded.t, index=index)
            yield merge(frame, prepared.segment([frame])[0])

    return matte


class Remembered:
    """A segmenter that runs once on each frame, for several methods."""

    def __init__(self, segmenter: LiteSegmenter) -> None:
        self._segmenter, self._known = segmenter, dict[tuple[str, int], list[Instance]]()

    def prepare(self, clip: Clip) -> "Remembered":
        return self

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        new = [frame for frame in frames if (frame.video_id, frame.key) not in self._known]
        for frame, people in zip(new, self._segmenter.segment(new), strict=True):
            self._known[frame.video_id, frame.key] = people
        return [self._known[frame.video_id, frame.key] for frame in frames]

    def segment_boxes(self, frame: Frame, boxes_xywh: Sequence[BoxXywh]) -> list[Instance | None] | None:
        return self._segmenter.segment_boxes(frame, boxes_xywh)


def maps_of(segmenter: Remembered) -> Method:
    """Return the method that takes the averaged person probability which the network of a moving camera is given."""
    network = TemporalNetwork()

    def matte(clip: Clip) -> Iterator[FloatImage]:
        teacher = segmenter.prepare(clip)
        finder = Finder(teacher.segment, teacher.segment_boxes)
        for item in follow_people(clip, finder, network.reduce, shot_threshold=30.0):
            yield cv2.resize(item.probability, item.frame.size_hw[::-1]).astype(np.float32)

    return matte


def network_of(lite: Remembered, path: Path | None) -> Method:
    """Return the method of `maskmill matte --config moving`."""
    network = TemporalNetwork(path)

    def matte(clip: Clip) -> Iterator[FloatImage]:
        teacher = lite.prepare(clip)
        finder = Finder(teacher.segment, teacher.segment_boxes)
        for group in matte_moving_clip(clip, finder, network, shot_threshold=30.0):
            yield from (frame.matte.alpha for frame in group.frames)

    return matte


def measure(folder: Path, method: Method, images: Path | None) -> list[float]:
    meter, ious = MatteMeter(), []
    truths = sorted((folder / "alpha").iterdir())
    for index, alpha in enumerate(method(Clip(folder.name, folder / "video.mp4"))):
        gray = np.asarray(cv2.imread(str(truths[index]), cv2.IMREAD_GRAYSCALE), np.float32)
        truth = gray / np.float32(255)
        meter.update(alpha, truth, motion=motion_to(folder, index))
        found, true = alpha >= 0.5, truth >= 0.5
        ious.append(1.0 if not (found | true).any() else (found & true).sum() / (found | true).sum())
        if images and index % 15 == 0:
            images.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(images / f"{folder.name}-{index:03d}.png"), np.rint(alpha * 255))
    metrics: Any = meter.compute()
    values = (metrics.mad, metrics.mse, metrics.dtssd, metrics.messddt)
    return [float(np.mean(ious)), *(1000 * value for value in values)]


def motion_to(folder: Path, index: int) -> Motion | None:
    """Return the exact motion from the frame before."""
    path = folder / "flow" / f"{index - 1:05d}.png"
    if not index or not path.is_file():
        return None
    flow, is_known = decode_flow(path.read_bytes())
    rows, columns = np.indices(is_known.shape, dtype=np.float32)
    return flow + np.dstack([columns, rows]), is_known


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--without", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--only", nargs="*", default=list("abmpcd"))
    options = parser.parse_args()
    lite: Any = Remembered(lite_segmenter())
    block: Any = load_config("moving").teacher
    teacher: Any = Remembered(lite_segmenter(block))
    methods: dict[str, Callable[[], Method]] = {
        "a": lambda: masks_of(lite),
        "b": lambda: smoothed_masks_of(lite),
        "m": lambda: masks_of(teacher),
        "p": lambda: maps_of(teacher),
        "c": lambda: network_of(teacher, options.weights),
        "d": lambda: network_of(teacher, options.without),
    }
    folders = sorted((options.folder / "clips").iterdir())[: options.clips]
    print(f"{'':4}" + "".join(f"{name:>13}" for name in COLUMNS))
    for name in options.only:
        if name == "d" and not options.without:
            continue
        method = methods[name]()
        rows = [measure(folder, method, options.images and options.images / name) for folder in folders]
        for folder, row in zip(folders, rows, strict=True):
            print(f"  {folder.name} " + "".join(f"{value:13.3f}" for value in row))
        print(f"({name}) " + "".join(f"{value:13.3f}" for value in np.mean(rows, axis=0)), flush=True)


if __name__ == "__main__":
    main()
