"""How fast tasks with masks go to a Label Studio, beside label-studio-sdk, and corrections come back.

    python benchmarks/studio.py [--tasks N] [--pulled N] [--rounds N]

Push: masks of 1280x720 as they are stored, coded and sent in batches of 250. Baseline, in the same rounds, with
the same masks and batches: label-studio-sdk's codec and its `projects.import_tasks`; and that call alone with tasks
made by us. Every import goes to an empty project. Pull: annotations of which every other one was
corrected, listed, read and compared with what was proposed. The server is this machine's own.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from brush import draw_people
from label_studio_sdk import LabelStudio
from label_studio_sdk.converter.brush import mask2rle

from configs.models import Review as Settings
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.brush_rle import encode_brush
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.credentials import Credentials
from labeling.review.label_studio.local_server import LocalLabelStudio
from labeling.review.label_studio.ports import free_port
from labeling.review.label_studio.project import label_config
from labeling.review.label_studio.tasks import make_task
from labeling.review.records import ProposedInstance, ReviewedFrame, ReviewItem
from labeling.structures.masks import Mask

WIDTH, HEIGHT = 1280, 720
BATCH = 250
SETTINGS = Settings()
Task = dict[str, Any]


def roughen(mask: Mask, seed: int) -> Mask:
    """Give it a ragged outline: 5 kB of code, as real people have who fill half of the image."""
    noise = np.random.default_rng(seed).normal(size=mask.size_hw).astype(np.float32)
    soft = cv2.GaussianBlur(mask.to_array().astype(np.float32), (0, 0), 8)
    return Mask.from_array(soft + 2 * cv2.GaussianBlur(noise, (0, 0), 2) * (soft > 0.05) > 0.5)


def make_items(frames: int, masks_each: int = 3) -> list[ReviewItem]:
    masks = map(roughen, draw_people(WIDTH, HEIGHT, frames * masks_each), count())
    numbers = count(1)
    return [
        ReviewItem(
            frame_id=frame,
            image=f"{frame % 256:02x}/{frame:064x}.jpg",
            size_hw=(HEIGHT, WIDTH),
            why="student missed 1 person; teacher unsure: mask flickers",
            title=f"street.mp4 at {frame / 2:.1f} s",
            iou=frame / frames,
            value=0.5 - frame / frames / 2,
            teacher=tuple(ProposedInstance(next(numbers), next(masks), score=0.9) for _ in range(masks_each)),
            teacher_model="torchvision:maskrcnn",
        )
        for frame in range(1, frames + 1)
    ]


def make_tasks(items: Sequence[ReviewItem]) -> list[Task]:
    return [make_task(item, SETTINGS, f"/data/local-files/?d=images/{item.image}") for item in items]


def code_with_sdk(item: ReviewItem, task: Task) -> Task:
    """The task of the item with masks coded by the SDK; all else is taken over ready-made."""
    [prediction] = task["predictions"]
    result = [
        {**region, "value": {**region["value"], "rle": mask2rle(one.mask.to_array().astype(np.uint8) * 255)}}
        for region, one in zip(prediction["result"], item.teacher, strict=True)
    ]
    return {**task, "predictions": [{**prediction, "result": result}]}


@dataclass
class Bench:
    """A Label Studio, our way to it and the SDK's."""

    access: Credentials
    ours: LabelStudioClient
    items: Sequence[ReviewItem]
    tasks: Sequence[Task]
    projects: "count[int]" = field(default_factory=lambda: count(1))

    def open_project(self) -> int:
        return self.ours.find_or_create_project(f"bench {next(self.projects)}", label_config(SETTINGS), "")

    def time_push(self) -> float:
        project = self.open_project()
        begin = time.perf_counter()
        for start in range(0, len(self.items), BATCH):
            self.ours.import_tasks(project, make_tasks(self.items[start : start + BATCH]))
        return self._finish(project, begin)

    def time_sdk(self, *, with_codec: bool) -> float:
        theirs = LabelStudio(base_url=self.access.url, api_key=self.access.token, timeout=600)
        project, sent = self.open_project(), []
        begin = time.perf_counter()
        for start in range(0, len(self.items), BATCH):
            tasks: Any = self.tasks[start : start + BATCH]
            if with_codec:
                tasks = [code_with_sdk(*pair) for pair in zip(self.items[start:], tasks, strict=False)]
            theirs.projects.import_tasks(project, request=tasks, return_task_ids=True)
            sent += tasks
        seconds = self._finish(project, begin)
        if sent != self.tasks:
            raise SystemExit("the codecs differ")
        return seconds

    def time_pull(self, annotations: int) -> float:
        """Every task is submitted, every other one with its first mask gone."""
        project = self.open_project()
        ids = self.ours.import_tasks(project, self.tasks[: annotations + 10])
        since = datetime.now(UTC)
        submit(self.access, zip(ids[:annotations], self.tasks, strict=False))
        users, items = self.ours.user_emails(), {item.frame_id: item for item in self.items}
        begin = time.perf_counter()
        frames = [
            frame
            for task in self.ours.changed_tasks(project, since)
            for frame in read_annotations(
                task,
                settings=SETTINGS,
                proposed=items[int(task["data"]["frame_id"])].teacher,
                size_hw=(HEIGHT, WIDTH),
                users=users,
            )
        ]
        seconds = time.perf_counter() - begin
        check_pulled(frames, items, annotations)
        return seconds

    def _finish(self, project: int, begin: float) -> float:
        seconds = time.perf_counter() - begin
        if len(self.ours.list_tasks(project)) != len(self.items):
            raise SystemExit("some tasks did not arrive")
        return seconds


def submit(access: Credentials, tasks: "zip[tuple[int, Task]]") -> None:
    """As the page does."""
    headers = {"Authorization": f"Token {access.token}"}
    with httpx.Client(base_url=access.url, headers=headers, trust_env=False, timeout=60.0) as http:
        for position, (number, task) in enumerate(tasks):
            result = task["predictions"][-1]["result"][position % 2 :]
            answer = http.post(f"/api/tasks/{number}/annotations/", json={"result": result, "lead_time": 9.5})
            answer.raise_for_status()


def check_pulled(frames: Sequence[ReviewedFrame], items: Mapping[int, ReviewItem], wanted: int) -> None:
    def is_right(frame: ReviewedFrame) -> bool:
        proposed = items[frame.frame_id].teacher
        left: list[Mask] = [one.mask for one in (proposed if frame.verdict == "correct" else proposed[1:])]
        return [one.mask for one in frame.instances] == left and not frame.problems

    corrected = sum(frame.verdict == "corrected" for frame in frames)
    if len(frames) != wanted or corrected != wanted // 2 or not all(map(is_right, frames)):
        raise SystemExit("what was pulled is not what was submitted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--pulled", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    items = make_items(arguments.tasks)
    with tempfile.TemporaryDirectory() as folder:
        local = LocalLabelStudio(Path(folder))
        access = local.up(free_port())
        try:
            with LabelStudioClient(access.url, access.token) as ours:
                bench = Bench(access, ours, items, make_tasks(items))
                measure(bench, arguments.rounds, min(arguments.pulled, arguments.tasks))
        finally:
            local.down()


def measure(bench: Bench, rounds: int, pulled: int) -> None:
    contestants: dict[str, Callable[[], float]] = {
        "push": bench.time_push,
        "SDK: codec and import": lambda: bench.time_sdk(with_codec=True),
        "SDK: import alone": lambda: bench.time_sdk(with_codec=False),
        "pull": lambda: bench.time_pull(pulled),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            seconds[name].append(contestant())
    code_kb = (
        statistics.mean(len(encode_brush(one.mask)) for item in bench.items for one in item.teacher) / 1e3
    )
    print(
        f"push of {len(bench.items)} tasks with 3 masks each, {code_kb:.1f} kB of code a mask on average; "
        f"pull of {pulled} annotations; median of {rounds} rounds"
    )
    push = statistics.median(seconds["push"])
    for name, values in seconds.items():
        median = statistics.median(values)
        ratio = f"  {median / push:5.1f} x push" if name.startswith("SDK") else ""
        print(f"{name:24} {median:7.2f} s{ratio}")


if __name__ == "__main__":
    main()
