"""The loop of a training stage.

Lightning runs the loops, checkpoints, precision, devices and logs. An epoch is a fixed number of samples
whose content depends on the seed and their index alone, and a checkpoint is written after each: a killed
training continues with the next epoch, to the same loss curve.
"""

import csv
import io
import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, Sampler

from configs.errors import Interrupted
from configs.student_training import Training
from labeling.storage.atomic import storage_errors, write_atomically

Batch = dict[str, Tensor]
STATISTICS_BATCHES = 24
"""Batches from which the statistics of batch normalization are computed after the training."""
PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
_ACCELERATORS = {"auto": "auto", "cpu": "cpu", "cuda": "gpu"}
LOGS = "logs"
"""Folder of one log per start, in that of the stage."""


class EpochSampler(Sampler[int]):
    """The indices of one epoch, dealt out to the devices; Lightning calls `set_epoch`.

    With one device, epoch e has the indices e * n to (e + 1) * n.
    """

    def __init__(self, samples_per_epoch: int) -> None:
        self._count, self._epoch = samples_per_epoch, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        is_one_of_many = distributed.is_available() and distributed.is_initialized()
        rank = distributed.get_rank() if is_one_of_many else 0
        devices = distributed.get_world_size() if is_one_of_many else 1
        start = self._epoch * self._count * devices
        return iter(range(start + rank, start + self._count * devices, devices))

    def __len__(self) -> int:
        return self._count


def seed_everything(settings: Training) -> None:
    """Seed the initial weights, and set the number of threads, on which the last digits of a loss depend."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    lightning.seed_everything(settings.seed, verbose=False)


def with_one_cycle(
    optimizer: torch.optim.Optimizer, settings: Training, *, learning_rate: float, warm_up: float
) -> dict[str, Any]:
    """Return the optimizer as Lightning expects it, with a rate that rises during `warm_up` and then falls to 0."""
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=learning_rate,
        total_steps=settings.epochs * settings.steps_per_epoch,
        pct_start=warm_up,
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@dataclass(frozen=True, slots=True)
class StagePlan:
    """Where a stage writes, and how long it takes."""

    folder: Path
    steps_per_epoch: int
    epochs: int
    strategy: str = "ddp_spawn"
    """Lightning's strategy for several devices."""
    show_progress: bool = False
    largest: str | None = None
    """Value logged by a validation: `best.ckpt` is the checkpoint of the epoch where it was largest; None: no such file."""
    tensorboard: bool = False
    """Log for TensorBoard too, in `logs/tensorboard`."""


def fit_stage(
    stage: lightning.LightningModule,
    dataset: Dataset[Batch],
    settings: Training,
    plan: StagePlan,
    *,
    validation: Dataset[Batch] | None = None,
) -> None:
    """Run a stage from its last checkpoint to its end; after each epoch it is validated, if there is a dataset for it."""
    last = plan.folder / "last.ckpt"
    with storage_errors(plan.folder), _quiet(show=plan.show_progress):
        plan.folder.mkdir(parents=True, exist_ok=True)
        merge_metrics(plan.folder)
        trainer = _make_trainer(settings, plan)
        try:
            trainer.fit(
                stage,
                _make_loader(dataset, settings, plan),
                None if validation is None else DataLoader(validation, batch_size=settings.batch),
                ckpt_path=last if last.is_file() else None,
                weights_only=True,
            )
        except SystemExit as exc:  # Lightning's answer to Ctrl-C
            raise Interrupted("training was stopped; run the same command again to continue it") from exc
        finally:
            merge_metrics(plan.folder)


def _make_loader(dataset: Dataset[Batch], settings: Training, plan: StagePlan) -> DataLoader[Batch]:
    return DataLoader(
        dataset,
        batch_size=settings.batch,
        sampler=EpochSampler(settings.batch * plan.steps_per_epoch),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        worker_init_fn=_forget_exit_handlers,
    )


def _forget_exit_handlers(_worker: int) -> None:
    """Drop what is to be called at the end of threads: a forked process has no threads of its parent.

    Prefect's handler would fail there, and the whole training with it.
    """
    getattr(threading, "_threading_atexits", []).clear()


def _make_trainer(settings: Training, plan: StagePlan) -> lightning.Trainer:
    several = settings.devices > 1
    has_gpus = settings.device != "cpu" and torch.cuda.is_available()
    return lightning.Trainer(
        max_epochs=plan.epochs,  # with max_steps, Lightning resumes as if an epoch was not finished
        precision=PRECISIONS[settings.precision],
        accelerator=_ACCELERATORS[settings.device],
        devices=settings.devices,
        strategy=plan.strategy if several else "auto",
        sync_batchnorm=several and has_gpus,  # torch has it for GPUs alone
        use_distributed_sampler=False,  # EpochSampler deals the samples out
        plugins=[AtomicCheckpoints()],
        callbacks=list(_checkpoints(plan)),
        logger=list(_loggers(plan)),
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=plan.show_progress,
    )


def _checkpoints(plan: StagePlan) -> Iterator[ModelCheckpoint]:
    """Yield what writes checkpoints. The last one has the state of the others: it is written after them."""
    common: dict[str, Any] = {"dirpath": plan.folder, "enable_version_counter": False}
    if plan.largest:
        yield ModelCheckpoint(
            **common, filename="best", monitor=plan.largest, mode="max", save_on_train_epoch_end=True
        )
    yield ModelCheckpoint(**common, filename="last", save_on_train_epoch_end=True)


def _loggers(plan: StagePlan) -> Iterator[Logger]:
    yield CSVLogger(plan.folder, name=LOGS, flush_logs_every_n_steps=plan.steps_per_epoch)
    if plan.tensorboard:
        yield TensorBoardLogger(plan.folder / LOGS, name="tensorboard", version="")


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their target and renames them: a killed writer leaves the earlier one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with storage_errors(Path(path)):
            write_atomically(Path(path), content.getvalue())


@contextmanager
def _quiet(*, show: bool) -> Iterator[None]:
    """Keep OpenCV to one thread, since processes are forked, and leave out Lightning's advice."""
    threads, logger = cv2.getNumThreads(), logging.getLogger("lightning.pytorch")
    level = logger.level
    cv2.setNumThreads(1)
    logger.setLevel(level if show else logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        cv2.setNumThreads(threads)
        logger.setLevel(level)


def merge_metrics(folder: Path) -> None:
    """Write `metrics.csv` from the logs of all starts: of a step that was repeated, the last values count.

    Each start has a log of its own, because Lightning deletes the log that it finds in a folder.
    """
    by_step: dict[int, dict[str, str]] = {}
    logs = sorted(folder.glob(f"{LOGS}/version_*/metrics.csv"), key=lambda log: int(log.parent.name[8:]))
    for log in logs:
        whole_lines = log.read_text("utf-8").rpartition("\n")[0].splitlines()
        rows = [row for row in csv.DictReader(whole_lines) if row.get("step")]
        for row in rows:  # a validation has a row of its own, with the same step
            by_step.setdefault(int(row["step"]), {}).update(
                {key: value for key, value in row.items() if value}
            )
    if not by_step:
        return
    names = ["step", *sorted({name for row in by_step.values() for name in row} - {"step"})]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(by_step[step] for step in sorted(by_step))
    write_atomically(folder / "metrics.csv", text.getvalue().encode())


def recompute_batch_norm(
    network: torch.nn.Module,
    samples: Dataset[Batch],
    *,
    inputs: Sequence[str],
    batch: int,
    batches: int = STATISTICS_BATCHES,
) -> None:
    """Replace the running statistics of batch normalization by those of the final weights.

    `inputs` are the names of the network's inputs in a sample, in order.

    Running averages of small batches lag behind the weights: in the middle of a training, a network was
    wrong with them that was right with its own statistics (MAD 0.049 and 0.002 on the same clip).
    """
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
    device = next(network.parameters()).device
    network.train()
    with torch.no_grad():
        for start in range(0, batch * batches, batch):
            chosen = [samples[start + offset] for offset in range(batch)]
            network(*(torch.stack([sample[name] for sample in chosen]).to(device) for name in inputs))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
