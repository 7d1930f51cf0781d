"""`maskmill demo`: the whole job on a scene that is rendered on the spot."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.load import load_config
from db.frames.dataset import dataset_frames
from db.runs.queries import RunSummary, latest_run
from labeling.datasets.formats.coco import write_coco
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from tasks.execution.context import open_context
from tasks.report import write_report

DEMO_DECISIONS = ("accepted", "easy")
"""The scene is short: where student and teacher agree is worth exporting too."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made."""

    summary: RunSummary
    video: Path
    coco: Path
    report: Path


def make_demo(home: Path, *, seconds: float, generate: Callable[..., RunSummary], quiet: bool) -> Demo:
    """Render, run, export, report; everything lies in `home`."""
    place = Home(home.expanduser().resolve())
    place.create()
    video = place.root / "scene.mp4"
    render_scene(video, seconds=seconds)
    summary = generate([str(video)], load_config("offline"), "offline", place.root, show_progress=not quiet)
    coco, report = place.root / "coco", place.root / "report.html"
    context = open_context(place)
    with context.database.session() as session:
        run_id = latest_run(session, summary.run_id).id
        write_coco(dataset_frames(session, run_id, place, decisions=DEMO_DECISIONS), coco)
    write_report(context, run_id, report, hardest=24)
    return Demo(summary, video, coco / "annotations" / "instances.json", report)
