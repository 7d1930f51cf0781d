"""How fast brush masks are coded and read, beside label-studio-sdk's codec.

    python benchmarks/brush.py [--size WIDTHxHEIGHT] [--rounds N]

Baseline: label-studio-sdk's `encode_rle` and `decode_rle` on the same masks, from and to arrays; ours goes
from and to COCO's run lengths, as they are stored. Masks: people-like bodies of ellipses with a hole.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from label_studio_sdk.converter import brush as sdk

from labeling.review.label_studio.brush_rle import decode_brush, encode_brush
from labeling.structures.masks import Mask


def draw_people(width: int, height: int, count: int) -> list[Mask]:
    random = np.random.default_rng(7)
    masks = []
    for _ in range(count):
        image = np.zeros((height, width), dtype=np.uint8)
        tall = float(random.uniform(0.2, 0.8)) * height
        x, y = random.uniform(0.2, 0.8) * width, random.uniform(0.4, 0.6) * height
        for dx, dy, w, h in (
            (0, -0.4, 0.08, 0.1),
            (0, 0, 0.14, 0.3),
            (-0.07, 0.3, 0.05, 0.2),
            (0.07, 0.3, 0.05, 0.2),
        ):
            center = (int(x + dx * tall), int(y + dy * tall))
            cv2.ellipse(image, center, (int(w * tall), int(h * tall)), 0, 0, 360, 1, -1)
        cv2.ellipse(image, (int(x), int(y)), (int(0.04 * tall), int(0.08 * tall)), 0, 0, 360, 0, -1)
        masks.append(Mask.from_array(image))
    return masks


def time_each(work: Callable[[], object], rounds: int) -> float:
    """Median milliseconds of a call."""
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return 1000 * statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    masks = draw_people(width, height, 12)
    arrays = [mask.to_array().astype(np.uint8) * 255 for mask in masks]
    codes = [encode_brush(mask) for mask in masks]
    for mask, pixels, code in zip(masks, arrays, codes, strict=True):
        if (
            code != bytes(sdk.encode_rle(np.repeat(pixels.ravel(), 4)))
            or decode_brush(code, mask.size_hw) != mask
        ):
            raise SystemExit("the codecs differ")
    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "encode": (
            lambda: [sdk.encode_rle(np.repeat(pixels.ravel(), 4)) for pixels in arrays],
            lambda: [encode_brush(mask) for mask in masks],
        ),
        "decode": (
            lambda: [sdk.decode_rle(code).reshape(height, width, 4)[:, :, 3] > 0 for code in codes],
            lambda: [decode_brush(code, (height, width)) for code in codes],
        ),
    }
    print(f"{len(masks)} masks of {width}x{height}, the same in both, median of {arguments.rounds} rounds")
    for name, (theirs, ours) in ways.items():
        base, here = (time_each(work, arguments.rounds) / len(masks) for work in (theirs, ours))
        print(f"{name}: label-studio-sdk {base:7.2f} ms a mask, ours {here:6.2f} ms, {base / here:.1f} x")


if __name__ == "__main__":
    main()
