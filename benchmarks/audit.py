"""How many planted faults of labels `maskmill audit` finds, beside how many sound labels it suspects.

    python benchmarks/audit.py COCO.json --images DIR [--faults 40] [--seeds 5] [--set weights_dir=DIR]

In a copy of the file a quarter of the faults each are labels of people that are
- shifted: moved by 40 to 80 % of their box's size,
- dropped,
- merged: the nearest other label of the image is joined to it,
- swapped: its outline and that of a person in another image are exchanged, scaled to the image.
A fault is found if a suspect names its annotation, or is a person without a label whose box overlaps with that of the person
whose label was shifted, dropped, swapped or merged into another by an IoU of 0.5. Every other suspect is a false alarm.
The threshold is the one at which there are as many false alarms as 10 % of the sound labels; the faults that the file had
before count as false alarms too. Several seeds plant other faults in the same images, which are segmented once.
"""

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.load import load_config
from labeling.audit.ranking import RankedSuspect
from labeling.audit.records import open_mask_file
from labeling.storage.home import Home
from labeling.structures.masks import BoxXywh, box_iou_matrix
from tasks.audit import audit_files, name_files

KINDS = ("shifted", "dropped", "merged", "swapped")
MIN_AREA_SHARE = 0.003
"""Smaller people, as a share of the image, get no fault: an error in them is of no weight."""
FALSE_ALARMS = 0.1
SAME_PLACE_IOU = 0.5

Label = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """A planted fault; `box_xywh` is where the person is."""

    kind: str
    image_id: str
    annotation: str
    box_xywh: BoxXywh


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("coco", type=Path)
    arguments.add_argument("--images", type=Path, required=True)
    arguments.add_argument("--faults", type=int, default=40)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--config", default="lite")
    arguments.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    arguments.add_argument("--home", type=Path, default=Path(".maskmill"))
    given = arguments.parse_args()
    tree, pooled = json.loads(given.coco.read_text()), defaultdict[str, list[float]](list)
    for seed in range(given.seeds):
        planted, faults = plant(tree, given.faults, np.random.default_rng(seed))
        ranked, labels = audit(planted, given)
        shares = judge(ranked, faults, sound=labels - sum(fault.kind != "dropped" for fault in faults))
        for kind, share in shares.items():
            pooled[kind].append(share)
        print(seed, " ".join(f"{kind} {share:.2f}" for kind, share in shares.items()), flush=True)
    print("mean", " ".join(f"{kind} {np.mean(shares):.2f}" for kind, shares in pooled.items()))


def audit(tree: dict[str, Any], given: argparse.Namespace) -> tuple[list[RankedSuspect], int]:
    """Return the suspects of a COCO tree, and the number of its labels."""
    with tempfile.TemporaryDirectory() as folder, open_mask_file() as masks:
        path = Path(folder) / "planted.json"
        path.write_text(json.dumps(tree))
        found = audit_files(
            name_files([path], [given.images]),
            load_config(given.config, given.changes),
            Home(given.home.resolve()),
            masks,
            config_name=given.config,
        )
    return list(found.suspects), sum(one.labels for one in found.counts.values())


def judge(ranked: Sequence[RankedSuspect], faults: Sequence[Fault], *, sound: int) -> dict[str, float]:
    """Return the share of the faults of each kind, and of all, that are found before the allowed false alarms."""
    allowed, alarms, found = FALSE_ALARMS * sound, 0, set[int]()
    for one in ranked:
        named = [n for n, fault in enumerate(faults) if is_named(one, fault) or is_at(one, fault)]
        found.update(named)
        alarms += not named
        if alarms > allowed:
            break
    planted, hit = Counter(fault.kind for fault in faults), Counter(faults[n].kind for n in found)
    shares = {kind: hit[kind] / planted[kind] for kind in KINDS if planted[kind]}
    return {"all": len(found) / len(faults), **shares}


def is_named(one: RankedSuspect, fault: Fault) -> bool:
    """Return whether a suspect is about a fault's label."""
    return one.record.image_id == fault.image_id and fault.annotation in one.record.annotations


def is_at(one: RankedSuspect, fault: Fault) -> bool:
    """Return whether a suspect is a missing person where a fault's person is."""
    return (
        one.record.suspect.kind == "missing"
        and one.record.image_id == fault.image_id
        and bool(box_iou_matrix([one.record.box_xywh], [fault.box_xywh])[0, 0] >= SAME_PLACE_IOU)
    )


def plant(
    tree: dict[str, Any], number: int, random: np.random.Generator
) -> tuple[dict[str, Any], list[Fault]]:
    """Return a copy of a COCO tree with faults, and the faults."""
    planted: dict[str, Any] = json.loads(json.dumps(tree))
    images = {image["id"]: image for image in planted["images"]}
    people = [one for one in planted["annotations"] if is_large_person(one, images[one["image_id"]])]
    order = [people[n] for n in random.permutation(len(people))]
    used: set[int] = set()
    faults: list[Fault] = []
    # merged first: it requires two labels in one image
    per_kind = number // len(KINDS)
    merged = 0
    for one in order:
        others = [other for other in people if is_mergeable(one, other, used)]
        if merged < per_kind and one["id"] not in used and others:
            other = min(others, key=lambda other: distance(one, other))
            used |= {one["id"], other["id"]}
            faults.append(fault_of("merged", one))
            planted["annotations"].remove(other)
            set_outline(one, [*one["segmentation"], *other["segmentation"]])
            merged += 1
    free = [one for one in order if one["id"] not in used]
    shifted, dropped, swapped = (free[n * per_kind : (n + 1) * per_kind] for n in range(3))
    for one in shifted:
        faults.append(fault_of("shifted", one))
        shift(one, images[one["image_id"]], random)
    for one in dropped:
        faults.append(fault_of("dropped", one))
        planted["annotations"].remove(one)
    for first, second in zip(swapped[::2], swapped[1::2], strict=False):
        faults += [fault_of("swapped", first), fault_of("swapped", second)]
        outlines = [one["segmentation"] for one in (first, second)]
        sizes = [images[one["image_id"]] for one in (first, second)]
        set_outline(first, scaled(outlines[1], sizes[1], sizes[0]))
        set_outline(second, scaled(outlines[0], sizes[0], sizes[1]))
    return planted, faults


def is_large_person(one: Label, image: Label) -> bool:
    is_person = one["category_id"] == 1 and not one["iscrowd"] and isinstance(one["segmentation"], list)
    return is_person and one["area"] >= MIN_AREA_SHARE * image["width"] * image["height"]


def is_mergeable(one: Label, other: Label, used: set[int]) -> bool:
    return other["image_id"] == one["image_id"] and other["id"] not in used | {one["id"]}


def distance(one: Label, other: Label) -> float:
    middles = [np.array(label["bbox"][:2]) + np.array(label["bbox"][2:]) / 2 for label in (one, other)]
    return float(np.hypot(*(middles[0] - middles[1])))


def fault_of(kind: str, one: Label) -> Fault:
    x, y, w, h = one["bbox"]
    return Fault(kind, str(one["image_id"]), str(one["id"]), (x, y, w, h))


def shift(one: Label, image: Label, random: np.random.Generator) -> None:
    """Move a label in a random direction; it stays in the image, so it may move less, or the other way."""
    x, y, w, h = one["bbox"]
    angle, length = random.uniform(0, 2 * np.pi), random.uniform(0.4, 0.8)
    dx, dy = length * w * np.cos(angle), length * h * np.sin(angle)
    dx = dx if 0 <= x + dx <= image["width"] - w else -dx
    dy = dy if 0 <= y + dy <= image["height"] - h else -dy
    dx = float(np.clip(dx, -x, max(-x, image["width"] - w - x)))
    dy = float(np.clip(dy, -y, max(-y, image["height"] - h - y)))
    set_outline(one, moved(one["segmentation"], lambda points: points + np.array([dx, dy])))


def scaled(outlines: list[list[float]], before: Label, after: Label) -> list[list[float]]:
    factors = np.array([after["width"] / before["width"], after["height"] / before["height"]])
    return moved(outlines, lambda points: points * factors)


def moved(
    outlines: list[list[float]], move: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
) -> list[list[float]]:
    return [move(np.asarray(outline).reshape(-1, 2)).ravel().tolist() for outline in outlines]


def set_outline(one: Label, outlines: list[list[float]]) -> None:
    """Give a label other polygons, with the box and area that they have: nothing contradicts itself."""
    points = np.concatenate([np.asarray(outline).reshape(-1, 2) for outline in outlines])
    low, high = points.min(axis=0), points.max(axis=0)
    one["segmentation"] = outlines
    one["bbox"] = [*low.tolist(), *(high - low).tolist()]
    one.pop("area", None)


if __name__ == "__main__":
    main()
