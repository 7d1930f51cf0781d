"""`maskmill demo`: the whole job on a scene that is rendered on the spot."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.load import load_config
from db.frames.dataset import dataset_frames
from db.runs.queries import RunSummary, latest_run
from flows.cli.working import working
from labeling.datasets.formats.coco import write_coco
from labeling.storage.home import Home
from labeling.synthetic.scene import render_scene
from labeling.text.figures import count_of
from tasks.execution.context import open_context
from tasks.report import write_report

DEMO_DECISIONS = ("accepted", "easy")
"""Easy frames are exported too, because the scene is short."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The files of a demo, and its run."""

    summary: RunSummary
    video: Path
    coco: Path
    report: Path
    exported: str
    """How many frames the dataset has, and why."""


def make_demo(root: Path, *, seconds: float, generate: Callable[..., RunSummary], quiet: bool) -> Demo:
    """Render a scene into the home at `root`, run the `offline` preset on it, export and report."""
    home = Home(root.expanduser().resolve())
    home.create()
    video = home.root / "scene.mp4"
    with working(f"rendering a scene of {seconds:g} s", enabled=not quiet):
        render_scene(video, seconds=seconds)
    summary = generate([str(video)], load_config("offline"), "offline", home.root, show_progress=not quiet)
    coco, report = home.root / "coco", home.root / "report.html"
    context = open_context(home)
    with context.database.session() as session:
        run_id = latest_run(session, summary.run_id).id
        written = write_coco(dataset_frames(session, run_id, home, decisions=DEMO_DECISIONS), coco)
    write_report(context, run_id, report, hardest=24)
    exported = f"The dataset has {count_of(written.frames, 'frame')}: the accepted ones, and the easy ones because the scene is short."
    return Demo(summary, video, coco / "annotations" / "instances.json", report, exported)
