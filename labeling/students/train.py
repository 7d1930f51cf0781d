"""The training of a student, and the checkpoint that is the best on `val`."""

import io
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import Dataset

from configs.errors import WeightsCorrupt
from configs.student_training import StudentTraining
from labeling.storage.atomic import storage_errors, write_atomically
from labeling.students.frame_store import PERSON, UNKNOWN, FrameStore, TrainingFrames
from labeling.students.networks import check_network, load_weights, make_network
from labeling.students.samples import Sample, StudentSampler, make_sample
from labeling.training.loop import Batch, StagePlan, fit_stage, seed_everything, with_one_cycle

VAL_IOU = "val_iou"
_SMOOTH = 1.0
"""Pixels that are added to both sides of Dice's ratio, so that it is defined without a person."""


class RandomSamples(Dataset[Batch]):
    """Random samples of a training, as tensors."""

    def __init__(self, sampler: StudentSampler) -> None:
        self._sampler = sampler

    def __getitem__(self, index: int) -> Batch:
        return _as_batch(self._sampler.sample(index))


class StoredFrames(Dataset[Batch]):
    """All frames of a store, unchanged, as tensors."""

    def __init__(self, store: FrameStore) -> None:
        self._store = store

    def __len__(self) -> int:
        return self._store.count

    def __getitem__(self, index: int) -> Batch:
        return _as_batch(make_sample(*self._store.read(index)))


def _as_batch(sample: Sample) -> Batch:
    return {"image": torch.from_numpy(sample.image), "labels": torch.from_numpy(sample.labels)}


class StudentStage(lightning.LightningModule):
    """Training on frames with masks; the logged value `val_iou` chooses the checkpoint."""

    def __init__(self, settings: StudentTraining, network: nn.Module) -> None:
        super().__init__()
        self.settings, self.network = settings, network

    def training_step(self, batch: Batch, index: int) -> Tensor:
        terms = student_losses(self.network(batch["image"]).float(), batch["labels"])
        loss = torch.stack(list(terms.values())).sum()
        self.log_dict({"loss": loss, **terms}, on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        ious = frame_ious(self.network(batch["image"]), batch["labels"])
        self.log(VAL_IOU, ious.mean(), on_epoch=True, batch_size=len(ious), sync_dist=True)

    def configure_optimizers(self) -> Any:
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        return with_one_cycle(
            optimizer, settings, learning_rate=settings.learning_rate, warm_up=settings.warm_up
        )


def student_losses(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return cross-entropy and 1 - Dice of the known pixels of a batch, both N x 1 x H x W."""
    known = (labels != UNKNOWN).float()
    person = (labels == PERSON).float()
    entropy = binary_cross_entropy_with_logits(logits, person, reduction="none")
    share = torch.sigmoid(logits) * known
    overlap = 2 * (share * person).sum() + _SMOOTH
    return {
        "entropy": (entropy * known).sum() / known.sum().clamp(min=1),
        "dice": 1 - overlap / (share.sum() + person.sum() + _SMOOTH),
    }


def frame_ious(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the IoU of each image with its labels over the known pixels; 1 where both have no person."""
    known, person = labels != UNKNOWN, labels == PERSON
    found = (logits > 0) & known
    common = (found & person).sum(dim=(1, 2, 3)).float()
    joint = (found | person).sum(dim=(1, 2, 3)).float()
    return torch.where(joint > 0, common / joint.clamp(min=1), torch.ones_like(joint))


def train_student_network(
    settings: StudentTraining,
    frames: TrainingFrames,
    folder: Path,
    *,
    start: Path | None = None,
    show_progress: bool = False,
) -> nn.Module:
    """Train, or continue a training that was interrupted, and return the network that was best on `val`.

    Without frames in `val` it is the last one. `start` is a file of weights to start from. `folder` receives
    `last.ckpt` and `best.ckpt` after each epoch, and the loss of each step in `metrics.csv`.

    Raises:
        ConfigError: the network cannot be made, or `start` belongs to another one.
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    seed_everything(settings)
    network = make_network(settings.network, settings.options)
    check_network(network, settings.input_hw)
    if start is not None:
        load_weights(network, read_weights(start), str(start))
    stage = StudentStage(settings, network)
    has_val = frames.val.count > 0
    sampler = StudentSampler(frames.train, settings.seed, frames.base, settings.base_share)
    plan = StagePlan(
        folder,
        settings.steps_per_epoch,
        settings.epochs,
        show_progress=show_progress,
        largest=VAL_IOU if has_val else None,
        tensorboard=True,
    )
    validation = StoredFrames(frames.val) if has_val else None
    fit_stage(stage, RandomSamples(sampler), settings, plan, validation=validation)
    best = folder / "best.ckpt"
    if has_val:
        stage.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
    return stage.network.eval().cpu()


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights, to start another training from."""
    with storage_errors(path, option="--to"):
        content = io.BytesIO()
        torch.save(network.state_dict(), content)
        write_atomically(path, content.getvalue())


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of weights: of `save_weights`, a checkpoint of a training, or of any network of the same names.

    Raises:
        WeightsCorrupt: it is no such file.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # torch raises many kinds for a file that is not its own
        raise WeightsCorrupt(
            f"{path} cannot be read as weights of torch: {exc}; name a file of torch.save(network.state_dict())"
        ) from exc
    if isinstance(weights, dict) and isinstance(weights.get("state_dict"), dict):
        weights = {name.removeprefix("network."): one for name, one in weights["state_dict"].items()}
    if not isinstance(weights, dict) or not all(isinstance(one, Tensor) for one in weights.values()):
        raise WeightsCorrupt(f"{path} has no weights by name: save network.state_dict()")
    return weights
