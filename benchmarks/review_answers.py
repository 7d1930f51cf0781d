"""Seconds that Label Studio's page takes for each doubtful person, by an answer and by a drawn correction.

    python benchmarks/review_answers.py --shared ../shared [--images 10] [--screenshot FILE.png]

A script, not a person, sits at a headless Chromium: what is measured is the page, the least that a review takes. In each image of
PennFudan with several people, found by `lite`, the one with the lowest score is doubtful and the others are locked. The same
task is opened twice: answered by a choice and submitted, and corrected by selecting the mask and one stroke of the brush. Both
include nothing of opening the task, which is shown beside them. Every locked mask is compared with the one that was
sent. The tests' own way into Label Studio is used: its environment, Chromium and Playwright.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from configs.categories import PERSON
from configs.models import Review
from configs.segmenters import LiteBlock, SelfieBlock
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.local_server import LocalLabelStudio
from labeling.review.label_studio.ports import free_port
from labeling.review.label_studio.project import OTHER, label_config
from labeling.review.label_studio.tasks import make_task
from labeling.review.records import ProposedInstance, ReviewItem
from labeling.segmenters.lite import LiteSegmenter
from labeling.segmenters.selfie import SelfieSegmenter
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.masks import union_masks
from labeling.video.images import read_image
from tests.studio_browser import Annotator, annotate
from tests.studio_server import RunningStudio

SETTINGS = Review()
MIN_PEOPLE = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--screenshot", type=Path, help="of the first task")
    given = parser.parse_args()
    items = find_items(given.shared, given.images)
    with tempfile.TemporaryDirectory() as folder:
        local = LocalLabelStudio(Path(folder))
        access = local.up(free_port())
        try:
            with LabelStudioClient(access.url, access.token) as server:
                studio = RunningStudio(access, server, Path(folder), local)
                measure(studio, given.shared, items, given.screenshot)
        finally:
            local.down()


def find_items(shared: Path, count: int) -> list[tuple[ReviewItem, RgbImage]]:
    """Return tasks of images with several people, one of them doubtful."""
    teacher = LiteSegmenter(LiteBlock(), weights_dir=shared / "weights")
    student = SelfieSegmenter(SelfieBlock(), weights_dir=shared / "weights")
    items: list[tuple[ReviewItem, RgbImage]] = []
    for path in sorted((shared / "data" / "pennfudan" / "images").iterdir()):
        frame = Frame("review", 0, read_image(path), name=path.name)
        (people,), (seen,) = teacher.segment([frame]), student.segment([frame])
        if len(people) < MIN_PEOPLE:
            continue
        number = len(items) + 1
        doubtful = min(range(len(people)), key=lambda position: people[position].score)
        proposed = [
            ProposedInstance(100 * number + n, one.mask, one.score, is_doubtful=n == doubtful)
            for n, one in enumerate(people)
        ]
        item = ReviewItem(
            frame_id=number,
            image=path.name,
            size_hw=frame.size_hw,
            why=f"Please check: 1 of {len(people)} people may be wrong",
            title=path.name,
            iou=0.5,
            value=0.5,
            teacher=tuple(proposed),
            teacher_model="lite",
            student={PERSON: union_masks([one.mask for one in seen], frame.size_hw)},
            student_model="selfie",
        )
        items.append((item, frame.rgb))
        if len(items) == count:
            break
    return items


def measure(
    studio: RunningStudio, shared: Path, items: Sequence[tuple[ReviewItem, RgbImage]], screenshot: Path | None
) -> None:
    server = studio.server
    project = server.find_or_create_project("seconds", label_config(SETTINGS), "")
    names = [item.image for item, _ in items]
    folder = shared / "data" / "pennfudan" / "images"
    urls = server.upload_images(project, names, lambda name: (folder / name).read_bytes())
    tasks = [make_task(item, SETTINGS, urls[item.image], image) for item, image in items]
    seconds: dict[str, list[float]] = {"open": [], "answer": [], "draw": []}
    with annotate(studio) as annotator:
        for way in ("answer", "draw"):
            again = [{**task, "data": {**task["data"]}} for task in tasks]
            for (item, _), task in zip(items, server.import_tasks(project, again), strict=True):
                begin = time.perf_counter()
                annotator.open(project, task)
                seconds["open"].append(time.perf_counter() - begin)
                if screenshot and item is items[0][0] and way == "answer":
                    annotator.page.screenshot(path=screenshot)
                begin = time.perf_counter()
                (answer if way == "answer" else draw)(annotator, item)
                annotator.submit()
                seconds[way].append(time.perf_counter() - begin)
    check_locked(server, project, [item for item, _ in items])
    offered = sum(
        any(one["value"] == OTHER for one in task["data"]["questions"][0]["answers"]) for task in tasks
    )
    print(
        f"{len(items)} images with {sum(len(item.teacher) - 1 for item, _ in items)} locked people; another outline in {offered}"
    )
    for name, values in seconds.items():
        print(
            f"{name:8} median {statistics.median(values):5.2f} s, longest {max(values):5.2f} s, {len(values)} times"
        )


def answer(annotator: Annotator, item: ReviewItem) -> None:
    """Choose the last but one answer: a wrong outline, which changes the result."""
    annotator.page.locator(".mm-question .lsf-choice").nth(-2).click()


def draw(annotator: Annotator, item: ReviewItem) -> None:
    """Select the doubtful mask, and paint a stroke across it."""
    [doubtful] = [one for one in item.teacher if one.is_doubtful]
    annotator.page.locator(".lsf-outliner-item").filter(has_text="person").nth(
        item.teacher.index(doubtful)
    ).click()
    box, (x, y, w, h) = annotator.find_image(), doubtful.mask.box_xywh
    scale = box.width / item.size_hw[1]
    annotator.draw([(box.x + (x + w / 2) * scale, box.y + (y + share * h) * scale) for share in (0.2, 0.8)])


def check_locked(server: LabelStudioClient, project: int, items: Sequence[ReviewItem]) -> None:
    """Exit if a locked mask came back with another pixel."""
    by_frame = {item.frame_id: item for item in items}
    compared = 0
    for task in server.changed_tasks(project, None):
        item = by_frame[int(task["data"]["frame_id"])]
        # as if none had been locked: what Label Studio returns itself
        unlocked = {**task, "data": {**task["data"], "locked": []}}
        people = tuple(replace(one, is_doubtful=None) for one in item.teacher)
        for frame in read_annotations(
            unlocked, settings=SETTINGS, proposed=people, size_hw=item.size_hw, users={}
        ):
            masks = {one.source_id: one.mask.counts for one in frame.instances}
            for one in item.teacher:
                if not one.is_doubtful:
                    compared += 1
                    if masks.get(one.id) != one.mask.counts:
                        raise SystemExit(f"frame {item.frame_id}: the locked mask of {one.id} changed")
    print(f"{compared} locked masks came back byte by byte (COCO's RLE) as they were sent")


if __name__ == "__main__":
    main()
