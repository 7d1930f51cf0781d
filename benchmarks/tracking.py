"""HOTA, IDF1 and MOTA of the trackers on a surveillance video (PETS 2009 S2.L1).

    pip install --no-deps trackeval==1.3.0 tabulate
    pip install --no-deps trackers==2.6.1 supervision==0.31.2 pyDeprecate   # for bytetrack; both require matplotlib
    python benchmarks/tracking.py --shared ../shared --detections FILE [--every 1 5] [--frames 795]

(`--no-deps`: these libraries require opencv-python, which overwrites opencv-python-headless.)

Input: the masks of the lite teacher, which are computed once and kept in FILE, and the annotated boxes as ellipses,
exact and with 10 % dropped and 5 % jitter. `--every 5` samples a frame every 0.5 s, as the preset does. The boxes of
the lite teacher's masks are compared with the annotated boxes; those of a static bin, tripod and cones count as
false in all rows.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from teacher_boxes import read_people

from configs.segmenters import LiteBlock
from configs.tracking import ByteTrackBlock, MaskTrackingBlock
from labeling.segmenters.lite import LiteSegmenter
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, Mask, box_iou_matrix
from labeling.structures.tracks import ShardTrack
from labeling.tracking.edges import EdgeRecorder
from labeling.tracking.factory import make_tracker
from labeling.tracking.protocol import Tracker
from labeling.tracking.shard import ShardTracker
from labeling.tracking.stitching import NumberedTrack, link_shards, number_tracks
from labeling.video.decode import decode_clip

FRAME_S = Fraction(1, 10)
DROPPED, JITTER = 0.1, 0.05
"""Share of annotated boxes left out, and error of their edges as a share of their sides."""

INPUTS = ("lite", "annotated", "inexact")
"""Masks of the teacher, and ellipses in the annotated boxes: exact ones, and with `DROPPED` and `JITTER`."""

Labeled = list[tuple[int, BoxXywh]]
"""Number and box of each person in a frame."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Accuracies in [0, 1] (MOTA may be below 0), and counts."""

    hota: float
    deta: float
    assa: float
    idf1: float
    mota: float
    switches: int
    tracks: int

    def row(self) -> str:
        shares = (self.hota, self.deta, self.assa, self.idf1, self.mota)
        return " | ".join([*(f"{value:.3f}" for value in shares), str(self.switches), str(self.tracks)])


def score_tracks(found: Sequence[Labeled], truth: Sequence[Labeled]) -> Scores:
    """Compare tracks with annotated ones, frame by frame, with TrackEval's metrics."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    data = _as_trackeval(found, truth)
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": 0.5}
    hota = HOTA().eval_sequence(data)
    clear, identity = CLEAR(quiet).eval_sequence(data), Identity(quiet).eval_sequence(data)
    return Scores(
        hota=float(np.mean(hota["HOTA"])),
        deta=float(np.mean(hota["DetA"])),
        assa=float(np.mean(hota["AssA"])),
        idf1=float(identity["IDF1"]),
        mota=float(clear["MOTA"]),
        switches=int(clear["IDSW"]),
        tracks=data["num_tracker_ids"],
    )


def _as_trackeval(found: Sequence[Labeled], truth: Sequence[Labeled]) -> dict[str, Any]:
    data: dict[str, Any] = {"num_timesteps": len(truth)}
    for side, frames in (("tracker", found), ("gt", truth)):
        numbers = sorted({number for people in frames for number, _ in people})
        index = {number: position for position, number in enumerate(numbers)}
        data[f"{side}_ids"] = [np.array([index[number] for number, _ in people], int) for people in frames]
        data[f"num_{side}_ids"], data[f"num_{side}_dets"] = len(numbers), sum(map(len, frames))
    data["similarity_scores"] = [
        box_iou_matrix([box for _, box in people], [box for _, box in seen])
        for people, seen in zip(truth, found, strict=True)
    ]
    return data


def track(
    tracker: Tracker, frames: Sequence[tuple[Frame, Sequence[Instance]]]
) -> tuple[list[Labeled], float]:
    """Return the tracked boxes of each frame, and the milliseconds per frame."""
    found, start = [], time.perf_counter()
    for frame, instances in frames:
        tracked = tracker.update(frame, instances)
        found.append([(one.track_id, one.mask.box_xywh) for one in tracked if one.track_id is not None])
    return found, 1000 * (time.perf_counter() - start) / len(frames)


def track_in_shards(
    make: Callable[[], Tracker], frames: Sequence[tuple[Frame, Sequence[Instance]]], shard_s: int
) -> list[Labeled]:
    """Track each shard alone, then join the shards as the database does."""
    tracks: list[tuple[ShardTrack, ...]] = []
    people: list[list[tuple[Instance, ...]]] = []
    for number, group in groupby(frames, key=lambda pair: pair[0].t // shard_s):
        start_s = float(number * shard_s)
        shard, stored = ShardTracker(make(), EdgeRecorder(start_s, start_s + shard_s)), defaultdict(list)
        people.append([shard.update(*pair) for pair in group])
        for position, of_frame in enumerate(people[-1]):
            for one in of_frame:
                stored[one.track_id or 0].append(position)
        stored.pop(0, None)
        tracks.append(shard.edges.tracks(stored, starts_with_cut=False, last_shot=0))
    links = [{}, *(link_shards(*pair) for pair in pairwise(tracks))]
    parts = [
        [NumberedTrack(track.number, previous.get(track.number), is_given=False) for track in of_shard]
        for previous, of_shard in zip(links, tracks, strict=True)
    ]
    numbered = number_tracks(parts, known={}, first_free=1)
    return [
        [(numbers[one.track_id], one.mask.box_xywh) for one in of_frame if one.track_id is not None]
        for numbers, of_shard in zip(numbered, people, strict=True)
        for of_frame in of_shard
    ]


def read_frames(video: Path) -> Iterator[Frame]:
    """Yield the frames as a run decodes them: with other colors, lite finds other people at the limit of its score."""
    for number, decoded in enumerate(decode_clip(Clip("vtest", video))):
        yield Frame("vtest", 100 * number, decoded.to_rgb(), t=number * FRAME_S)


def lite_instances(video: Path, weights: Path, cache: Path) -> Iterator[list[Instance]]:
    """Yield the instances of every frame, from the cache if it exists."""
    if not cache.exists():
        segmenter = LiteSegmenter(LiteBlock(), weights_dir=weights)
        with cache.open("w", encoding="utf-8") as lines:
            for frame in read_frames(video):
                lines.write(json.dumps([_to_json(one) for one in segmenter.segment([frame])[0]]) + "\n")
    for line in cache.read_text("utf-8").splitlines():
        yield [_from_json(person) for person in json.loads(line)]


def _to_json(one: Instance) -> dict[str, Any]:
    return {
        "rle": one.mask.counts.decode(),
        "size": one.mask.size_hw,
        "score": one.score,
        "box": one.box_xywh,
    }


def _from_json(person: Mapping[str, Any]) -> Instance:
    mask = Mask(tuple(person["size"]), person["rle"].encode())
    return Instance(mask, person["score"], tuple(person["box"]))


def true_instances(
    people: Labeled, size_hw: tuple[int, int], rng: np.random.Generator | None
) -> list[Instance]:
    """Return ellipses in the annotated boxes; with `rng`, some are left out and all are inexact."""
    kept = [box for _, box in people if rng is None or rng.random() >= DROPPED]
    return [_ellipse(_shake(box, rng) if rng else box, size_hw) for box in kept]


def _shake(box: BoxXywh, rng: np.random.Generator) -> BoxXywh:
    x, y, w, h = box
    dx, dy, dw, dh = (float(value) for value in rng.normal(0, JITTER, 4))
    return x + dx * w, y + dy * h, w * max(0.5, 1 + dw), h * max(0.5, 1 + dh)


def _ellipse(box: BoxXywh, size_hw: tuple[int, int]) -> Instance:
    x, y, w, h = box
    pixels = np.zeros(size_hw, dtype=np.uint8)
    center, axes = (round(x + w / 2), round(y + h / 2)), (max(1, round(w / 2)), max(1, round(h / 2)))
    cv2.ellipse(pixels, center, axes, 0, 0, 360, 1, -1)
    mask = Mask.from_array(pixels)
    return Instance(mask, 0.9, mask.box_xywh)


def main() -> None:
    options = _read_options()
    data = options.shared / "data" / "pets2009_s2l1"
    annotation = read_people(data / "PETS2009-S2L1.xml")
    rng = np.random.default_rng(1)
    inputs: dict[str, list[list[Instance]]] = {name: [] for name in INPUTS}
    cached = lite_instances(data / "vtest.avi", options.shared / "weights", options.detections)
    frames, truth = [], []
    for number, (image, lite) in enumerate(zip(read_frames(data / "vtest.avi"), cached, strict=True)):
        if number == options.frames:
            break
        frames.append(image)
        truth.append(annotation.get(number, []))
        shaken = true_instances(truth[-1], image.size_hw, rng)
        for name, people in zip(
            INPUTS, (lite, true_instances(truth[-1], image.size_hw, None), shaken), strict=True
        ):
            inputs[name].append(people)
    trackers: dict[str, Callable[[], Tracker]] = {
        "mask": lambda: make_tracker(MaskTrackingBlock()),
        "bytetrack": lambda: make_tracker(ByteTrackBlock()),
    }
    print("| input | every | tracker | HOTA | DetA | AssA | IDF1 | MOTA | switches | tracks | ms a frame |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for every in options.every:
        for name, instances in ((name, inputs[name]) for name in options.inputs):
            for kind in options.kinds:
                pairs = list(zip(frames, instances, strict=True))[::every]
                found, ms = track(trackers[kind](), pairs)
                scores = score_tracks(found, truth[::every])
                rate = f"{every * float(FRAME_S):g} s"
                print(f"| {name} | {rate} | {kind} | {scores.row()} | {ms:.1f} |", flush=True)
                if options.shard_s:
                    joined = track_in_shards(trackers[kind], pairs, options.shard_s)
                    row = score_tracks(joined, truth[::every]).row()
                    print(f"| {name} | {rate} | {kind}, shards | {row} | |", flush=True)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument(
        "--detections", type=Path, required=True, help="file of lite's masks; made if missing"
    )
    parser.add_argument("--every", type=int, nargs="+", default=[1, 5], help="take every n-th frame")
    parser.add_argument("--frames", type=int, default=795)
    parser.add_argument("--shard-s", type=int, help="also in shards of this length")
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=list(INPUTS))
    parser.add_argument("--kinds", nargs="+", default=["mask", "bytetrack"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
