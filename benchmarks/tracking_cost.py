"""Time and memory of tracking on 1,000 frames of a surveillance video (PETS 2009 S2.L1, repeated).

    python benchmarks/tracking_cost.py --shared ../shared --detections FILE [--frames 1000]

FILE has lite's masks of every frame, as `benchmarks/tracking.py` writes them. Prints the memory that tracker and
recorder hold, and the processor time of tracking beside that of the lite teacher, measured on every 40th frame.
"""

import argparse
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

from teacher_boxes import read_frames
from tracking import FRAME_S, lite_instances

from configs.segmenters import LiteBlock
from configs.tracking import MaskTrackingBlock
from labeling.segmenters.lite import LiteSegmenter
from labeling.tracking.edges import EdgeRecorder
from labeling.tracking.factory import make_tracker
from labeling.tracking.shard import ShardTracker


def measure_teacher(video: Path, weights: Path) -> float:
    """Return the processor seconds of the lite teacher per frame."""
    frames = [frame for _, frame in read_frames(video, 40)]
    segmenter = LiteSegmenter(LiteBlock(), weights_dir=weights, threads=1)
    segmenter.segment(frames[:1])  # warm up
    start = time.process_time()
    segmenter.segment(frames)
    return (time.process_time() - start) / len(frames)


def track_frames(video: Path, weights: Path, detections: Path, count: int) -> float:
    """Track `count` frames, print what is held in memory, and return the processor seconds per frame."""
    tracker = ShardTracker(make_tracker(MaskTrackingBlock()), EdgeRecorder(0.0, None))
    spent_s, number = 0.0, 0
    tracemalloc.start()
    while number < count:
        for (_, image), people in zip(
            read_frames(video, 1), lite_instances(video, weights, detections), strict=False
        ):
            start = time.process_time()
            tracker.update(replace(image, t=number * FRAME_S), people)
            spent_s += time.process_time() - start
            number += 1
            if number % 200 == 0:
                print(f"{number} frames: {tracemalloc.get_traced_memory()[0] / 1e6:.1f} MB", flush=True)
            if number == count:
                break
    tracemalloc.stop()
    return spent_s / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument("--detections", type=Path, required=True, help="file of lite's masks")
    parser.add_argument("--frames", type=int, default=1000)
    options = parser.parse_args()
    video = options.shared / "data" / "pets2009_s2l1" / "vtest.avi"
    weights = options.shared / "weights"
    track_s = track_frames(video, weights, options.detections, options.frames)
    teacher_s = measure_teacher(video, weights)
    share = track_s / (track_s + teacher_s)
    print(f"tracking {1000 * track_s:.1f} ms, teacher {1000 * teacher_s:.1f} ms a frame: {100 * share:.1f} %")


if __name__ == "__main__":
    main()
