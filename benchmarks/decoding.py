"""CPU of decoding all shards of a video one after the other, as a ratio to one pass through it.

    python benchmarks/decoding.py [MINUTES]

The videos are made in a temporary folder: a key frame every 5 s, a single key frame, and an MPEG program stream.
"""

import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

from labeling.structures.frames import Clip
from labeling.video.decode import decode_clip
from tests.fakes.videos import Coding, draw_number, write_images

SHARD_S, FPS = 60, Fraction(10)
CODINGS = {
    "key-every-5-s.mp4": Coding(options={"g": "50"}),
    "one-key.mp4": Coding(options={"g": "100000", "keyint_min": "100000", "sc_threshold": "0"}),
    "program-stream.mp4": Coding(codec="mpeg2video", options={"g": "50"}, container_format="mpeg"),
}


def cpu_s(clips: list[Clip]) -> float:
    """Return the CPU seconds of decoding clips."""
    start = time.process_time()
    for clip in clips:
        for _ in decode_clip(clip):
            pass
    return time.process_time() - start


def main(minutes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, coding in CODINGS.items():
            path = Path(folder) / name
            images = (draw_number(number % 4096, (240, 320)) for number in range(int(minutes * 60 * FPS)))
            write_images(path, images, fps=FPS, coding=coding)
            one_pass = cpu_s([Clip("v", path)])
            starts = [Fraction(SHARD_S * i) for i in range(minutes)]
            shards = [Clip("v", path, start, start + SHARD_S) for start in starts]
            print(
                f"{name}: one pass {one_pass:.2f} s, {minutes} shards {cpu_s(shards) / one_pass:.2f} times that"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
