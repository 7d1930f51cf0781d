"""Measure the people of PETS 2009 S2.L1 from their trajectories in metres, before and after fine-tuning.

    python benchmarks/trajectories.py ../shared --work DIR [--people 1,12] [--source teacher|background] [--folds 3]

The feet of every 10th frame of the XML become metres by the homography, and are the only annotation used. `before` is the
mask of the nearest box under 40 px in an annotated frame; `after` the mask of the fine-tuned network. A mask is right if
its box has an IoU of at least 0.5 with the person's box. `between` are the frames that are not annotated. J is the mean IoU
of masks that were held out with their predictions.
"""

import argparse
import json
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from configs.segmenters import LiteBlock, OsvosBlock
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.osvos import OsvosSegmenter, PreparedOsvosSegmenter
from labeling.structures.frames import Clip, Frame
from labeling.structures.masks import BoxXywh, box_iou_matrix
from labeling.tracking.anchors import nearest_box
from labeling.tracking.osvos_evaluation import held_out_ious
from labeling.tracking.osvos_preparation import OsvosPreparation
from labeling.video.decode import decode_clip

SCALE = 0.625
"""The video is 480x360, its annotation 768x576."""
HOMOGRAPHY = """5.16357062e-02 -5.83087406e-01 8.46652082e+01
-1.34475784e-01 -3.85863966e-01 1.15437278e+02
8.83589822e-04 1.89331459e-02 1.0
"""
EVERY = 10
Boxes = dict[int, dict[int, BoxXywh]]


@dataclass(slots=True)
class Row:
    """Results of one person."""

    before: list[bool] = field(default_factory=list)
    after: list[bool] = field(default_factory=list)
    between: list[bool] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    swapped: int = 0
    """Frames in which the mask's box fits another person's box better than the person's own."""
    skipped: int = 0
    held_out: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--people", default="all")
    parser.add_argument("--source", default="teacher", choices=("teacher", "background"))
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument(
        "--every", type=int, default=1, help="predict every n-th frame, and the annotated ones"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    truth = read_boxes(options.shared / "data" / "pets2009_s2l1" / "PETS2009-S2L1.xml")
    files = write_trajectories(truth, options.work)
    people = None if options.people == "all" else tuple(map(int, options.people.split(",")))
    block = OsvosBlock(
        trajectories=files[0],
        homography=files[1],
        people=people,
        mask_source=options.source,
        weights=options.shared / "weights" / "efficientnet_lite0" / "efficientnet-lite0-57934424.pth",
        cache=options.work / "cache",
    )
    teacher = make_segmenter(LiteBlock(), weights_dir=options.shared / "weights", device="cpu", batch=4)
    segmenter = OsvosSegmenter(block, teacher)
    clip = Clip("pets", options.shared / "data" / "pets2009_s2l1" / "vtest.avi")
    measure(segmenter, clip, truth, options)


def measure(segmenter: OsvosSegmenter, clip: Clip, truth: Boxes, options: argparse.Namespace) -> None:
    preparation = segmenter.open(clip)
    wanted = segmenter.people_of(preparation)
    rows = {person: Row() for person in wanted}
    print(preparation.projection.describe())
    print("shared by all people: processor seconds", end=" ", flush=True)
    started = time.process_time()
    _ = preparation.parent
    print(f"{time.process_time() - started:.1f}", flush=True)
    for person in wanted:
        started = time.process_time()
        trained = preparation.head(person)
        rows[person].cpu_s = time.process_time() - started
        if options.folds:
            rows[person].held_out = held_out_ious(preparation, person, folds=options.folds)
        measure_before(preparation, person, truth, rows[person])
        print(person, f"IoU {trained.iou:.3f}", f"{rows[person].cpu_s:.1f} s", flush=True)
    predict(segmenter.prepare(clip), clip, truth, rows, options.every)
    report(rows, options)


def measure_before(preparation: OsvosPreparation, person: int, truth: Boxes, row: Row) -> None:
    for annotated in preparation.annotated.values():
        if person in annotated.points and annotated.frame in truth[person]:
            boxes = [one.box_xywh for one in annotated.instances]
            found = nearest_box(
                np.array(annotated.points[person]),
                boxes,
                anchor=preparation.projection.anchor,
                max_distance_px=40,
            )
            row.skipped += found.index is None
            mask = annotated.instances[found.index].mask if found.index is not None else None
            row.before.append(mask is not None and fits(mask.box_xywh, truth[person][annotated.frame]))


def predict(
    segmenter: PreparedOsvosSegmenter, clip: Clip, truth: Boxes, rows: dict[int, Row], every: int
) -> None:
    started = time.process_time()
    count = 0
    for number, decoded in enumerate(decode_clip(clip)):
        if number % every and number % EVERY:
            continue
        frame = Frame(clip.video_id, decoded.pts_ms, decoded.to_rgb(), t=decoded.t)
        found = {one.track_id: one for one in segmenter.segment([frame])[0]}
        count += 1
        for person, row in rows.items():
            if number in truth[person]:
                instance = found.get(person)
                box = truth[person][number]
                iou = iou_of(instance.box_xywh, box) if instance else 0.0
                (row.between if number % EVERY else row.after).append(iou >= 0.5)
                row.ious.append(iou)
                others = [one[number] for other, one in truth.items() if other != person and number in one]
                row.swapped += instance is not None and any(
                    iou_of(instance.box_xywh, one) > max(iou, 0.3) for one in others
                )
    print(f"prediction: {count} frames, {time.process_time() - started:.1f} processor seconds")


def iou_of(first: BoxXywh, second: BoxXywh) -> float:
    return float(box_iou_matrix([first], [second])[0, 0])


def fits(first: BoxXywh, second: BoxXywh) -> bool:
    return iou_of(first, second) >= 0.5


def report(rows: dict[int, Row], options: argparse.Namespace) -> None:
    print("person  annotated skipped before after between  mean-box-IoU swapped  J-held-out cpu-s")
    for person, row in rows.items():
        print(
            f"{person:6d} {len(row.before):9d} {row.skipped:7d} {share(row.before)} {share(row.after)} "
            f"{share(row.between)} {np.mean(row.ious):12.3f} {row.swapped:7d} "
            f"{np.mean(row.held_out) if row.held_out else float('nan'):11.3f} {row.cpu_s:6.1f}"
        )
    both = [
        [one for row in rows.values() for one in getattr(row, name)]
        for name in ("before", "after", "between")
    ]
    ious, held = ([one for row in rows.values() for one in getattr(row, n)] for n in ("ious", "held_out"))
    totals = {
        "source": options.source,
        "people": len(rows),
        "annotated": len(both[0]),
        "before": round(float(np.mean(both[0])), 4),
        "after": round(float(np.mean(both[1])), 4),
        "between": round(float(np.mean(both[2] or [np.nan])), 4),
        "between_frames": len(both[2]),
        "mean_box_iou": round(float(np.mean(ious)), 4),
        "swapped": sum(row.swapped for row in rows.values()),
        "held_out_j": round(float(np.mean(held or [np.nan])), 4),
        "cpu_s_per_person": round(float(np.mean([row.cpu_s for row in rows.values()])), 2),
    }
    print(json.dumps(totals))


def share(values: list[bool]) -> str:
    return f"{np.mean(values) if values else float('nan'):6.3f}"


def read_boxes(path: Path) -> Boxes:
    """Return boxes by person and frame, in pixels of the video."""
    boxes: Boxes = {}
    for frame in ET.parse(path).getroot():  # noqa: S314 - a file of the data set
        for one in frame.iter("object"):
            box = one.find("box")
            if box is None:
                continue
            h, w, x, y = (float(box.get(key, "nan")) * SCALE for key in ("h", "w", "xc", "yc"))
            person = boxes.setdefault(int(one.get("id", "0")), {})
            person[int(frame.get("number", "0"))] = (x - w / 2, y - h / 2, w, h)
    return boxes


def write_trajectories(truth: Boxes, folder: Path) -> tuple[Path, Path]:
    """Write the feet of every 10th frame in metres, and the homography."""
    folder.mkdir(parents=True, exist_ok=True)
    matrix = np.array([[float(one) for one in line.split()] for line in HOMOGRAPHY.splitlines()])
    lines = []
    for person, boxes in truth.items():
        for frame, (x, y, w, h) in boxes.items():
            if frame % EVERY == 0:
                u, v, s = matrix @ np.array([(x + w / 2) / SCALE, (y + h) / SCALE, 1.0])
                lines.append((frame, person, u / s, v / s))
    text = "".join(f"{frame} {person} {x:.4f} {y:.4f}\n" for frame, person, x, y in sorted(lines))
    trajectories, homography = folder / "pets.txt", folder / "pets.homography.txt"
    trajectories.write_text("# frame pID x y, metres\n" + text)
    homography.write_text(HOMOGRAPHY)
    return trajectories, homography


if __name__ == "__main__":
    main()
