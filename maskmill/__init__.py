"""maskmill finds the frames of videos that a segmentation model gets wrong, and labels them.

This is the public API. Everything else may move between versions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.environment import set_prefect_defaults
from configs.errors import MaskmillError
from configs.export_formats import ExportedDecision, ExportFormat
from configs.load import load_config
from configs.models import RunConfig
from labeling.refinement.protocol import Refiner
from labeling.segmenters.protocol import Segmenter
from labeling.segmenters.requirements import choose_preset
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask

if TYPE_CHECKING:
    from db.runs.queries import RunSummary
    from labeling.datasets.records import ExportSummary
    from tasks.evaluate import Evaluation

__all__ = [
    "Clip",
    "Frame",
    "Instance",
    "Mask",
    "MaskmillError",
    "ModelCard",
    "Refiner",
    "RunConfig",
    "Segmenter",
    "evaluate",
    "export",
    "load_config",
    "run",
]


def run(
    sources: Sequence[str | Path],
    config: RunConfig | str | None = None,
    *,
    home: str | Path = ".maskmill",
    retry_failed: bool = False,
) -> "RunSummary":
    """Find and label the hard frames of videos; an interrupted run continues where it stopped.

    Args:
        sources: files, folders, glob patterns, archives, lists, URLs or cameras.
        config: a config, or the name of a preset or YAML file; none: the best preset whose parts are installed.
        home: folder of the database and the images; created if missing.
        retry_failed: also retry the sources and shards that failed earlier in this run.

    Returns:
        Frames per decision (`counts`), seconds per stage, shards done and pending, and failed sources.

    Raises:
        ConfigError: no source, or a config that cannot work on this machine.
        NoSourceReadable: every source failed; its `summary` lists them.
        ModelError, StorageError, DatabaseError: see `configs.errors`.

    Example:
        `video` is a rendered scene of four seconds.

        >>> summary = run([video], "offline", home=home)
        >>> summary.counts["sampled"], summary.shards_pending
        (8, 0)
    """
    set_prefect_defaults()
    from flows.cli.temporary_server import temporary_server
    from flows.generate import generate_dataset
    from labeling.storage.home import Home
    from tasks.begin import repeat_finished_run

    run_config = _config_of(config)
    name = "" if isinstance(config, RunConfig) else Path(config or choose_preset().name).stem
    specs = [str(source) for source in sources]
    root = Home(Path(home).expanduser().resolve())
    if specs and not retry_failed and (finished := repeat_finished_run(root, specs, run_config, name)):
        return finished
    with temporary_server():
        return generate_dataset(specs, run_config, name=name, home=Path(home), retry_failed=retry_failed)


def export(
    target: str | Path,
    format: ExportFormat = "coco",
    *,
    home: str | Path = ".maskmill",
    run: str | None = None,
    decisions: Sequence[ExportedDecision] = ("accepted", "reviewed", "partial"),
    copy: bool = False,
    only_complete: bool = False,
) -> "ExportSummary":
    """Write the frames of a run as a dataset; an earlier export in the folder is replaced.

    Args:
        target: folder, or URL such as `s3://bucket/dataset`.
        format: `coco` (masks as RLE), `yolo-seg`, `voc`, `cvat`, `datumaro`, `parquet` (Hugging Face), `webdataset`,
            `masks` (PNG files), `mots` or `youtube-vis` (tracks).
        home: folder of the database and the images.
        run: id of a run or its first digits; default: the latest run.
        decisions: frames to write.
        copy: copy images instead of hard-linking them.
        only_complete: only frames in which each person is accepted or reviewed.

    Raises:
        ConfigError: no such home or run.
        ExportError: the folder holds something else.

    Example:
        >>> export(folder / "dataset", home=home, decisions=["accepted", "easy", "review"]).frames > 0
        True
    """
    from flows.home import existing_context
    from tasks.export import ExportOrder, write_dataset

    order = ExportOrder(format, tuple(decisions), run, copy=copy, only_complete=only_complete)
    return write_dataset(existing_context(Path(home)), str(target), order)


def evaluate(
    sets: Path | Mapping[str, Mapping[str, Any]], config: RunConfig | str | None = None
) -> "Evaluation":
    """Compare teacher, student and decisions of a config, and mattes and plates, with ground truth; nothing is stored.

    Args:
        sets: sets by name, or a YAML file of them: `images` with `coco` or `masks`; `matte` with `alpha` or `cdnet`;
            `plate` with `background`.
        config: a config, or the name of a preset or YAML file; none: as for `run`.

    Returns:
        IoU, AUROC, precision and recall by set (`sets`), every frame (`frames`), metrics of `mattes` and `plates` by
        video, and an HTML `page`.

    Raises:
        ConfigError: a set cannot be read.

    Example:
        `images` and `masks` are folders of images and of PNG masks whose pixel value is the instance.

        >>> config = RunConfig(teacher=f"masks_folder:{masks}", student=f"masks_folder:{masks}")
        >>> evaluate({"scene": {"images": images, "masks": masks}}, config).sets["all"].student_iou
        1.0
    """
    from configs.load import load_ground_truth
    from tasks.evaluate import evaluate as evaluate_sets

    return evaluate_sets(load_ground_truth(sets), _config_of(config))


def _config_of(config: RunConfig | str | None) -> RunConfig:
    return config if isinstance(config, RunConfig) else load_config(config or choose_preset().name)
