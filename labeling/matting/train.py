"""The supervised stage of the matting network."""

from pathlib import Path
from typing import Any, Protocol

import lightning
import torch
from torch import Tensor
from torch.utils.data import Dataset

from configs.training import MattingTraining
from labeling.matting.background_matting import SIZES, BackgroundMattingNetwork
from labeling.matting.inputs import NAMES
from labeling.matting.losses import (
    DIVERGENCE_RADIUS,
    SUPERVISED_WEIGHTS,
    divergence_loss,
    supervised_losses,
)
from labeling.matting.samples import Sample
from labeling.training.loop import (
    Batch,
    StagePlan,
    fit_stage,
    recompute_batch_norm,
    seed_everything,
    with_one_cycle,
)


class SampleSource(Protocol):
    """Makes sample `index`; see `composites.Compositor`."""

    def sample(self, index: int) -> Sample: ...


class SampleDataset(Dataset[Batch]):
    """Samples as tensors."""

    def __init__(self, source: SampleSource) -> None:
        self._source = source

    def __getitem__(self, index: int) -> Batch:
        sample = self._source.sample(index)
        arrays = {name: getattr(sample.input, name) for name in NAMES}
        arrays |= {
            "true_alpha": sample.alpha,
            "true_foreground": sample.foreground,
            "background": sample.background,
            "shadow_like": sample.shadow_like,
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class SupervisedStage(lightning.LightningModule):
    """Training on composites whose alpha and foreground are known exactly."""

    def __init__(self, settings: MattingTraining) -> None:
        super().__init__()
        self.settings = settings
        self.network = BackgroundMattingNetwork(SIZES[settings.size]).to(memory_format=torch.channels_last)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        alpha, foreground = predict(self.network, batch)
        terms = supervised_losses(
            alpha,
            foreground,
            true_alpha=batch["true_alpha"],
            true_foreground=batch["true_foreground"],
            background=batch["background"],
        )
        loss = torch.stack([SUPERVISED_WEIGHTS[name] * term for name, term in terms.items()]).sum()
        if self.settings.divergence:
            where = batch["shadow_like"] if self.settings.only_shadows else None
            terms["divergence"] = random_divergence(alpha, batch["prior"], self.global_step, where)
            loss = loss + self.settings.divergence * terms["divergence"]
        self.log_dict({"loss": loss, **terms}, on_step=True, on_epoch=False)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.settings.learning_rate)
        return with_one_cycle(
            optimizer,
            self.settings,
            learning_rate=self.settings.learning_rate,
            warm_up=self.settings.warm_up,
        )


def predict(network: BackgroundMattingNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    inputs = (batch[name].contiguous(memory_format=torch.channels_last) for name in NAMES)
    alpha, foreground = network(*inputs)
    return alpha.float(), foreground.float()


def random_divergence(alpha: Tensor, prior: Tensor, step: int, only_where: Tensor | None) -> Tensor:
    """Return the divergence loss; the radius of the dilation is random, but fixed for a step."""
    shares = torch.empty(1).uniform_(*DIVERGENCE_RADIUS, generator=torch.Generator().manual_seed(step))
    radius_px = max(1, round(float(shares) * alpha.shape[-1]))
    return divergence_loss(alpha, (prior > 0).to(alpha.dtype), radius_px=radius_px, only_where=only_where)


def train_supervised(
    settings: MattingTraining, source: SampleSource, folder: Path, *, show_progress: bool = False
) -> BackgroundMattingNetwork:
    """Train, or continue a training that was interrupted, and return the network.

    `folder` receives `last.ckpt` after each epoch, and the loss of each step in `metrics.csv`.

    Raises:
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    seed_everything(settings)
    stage, samples = SupervisedStage(settings), SampleDataset(source)
    fit_stage(
        stage,
        samples,
        settings,
        StagePlan(folder, settings.steps_per_epoch, settings.epochs, show_progress=show_progress),
    )
    recompute_batch_norm(stage.network, samples, inputs=NAMES, batch=settings.batch)
    return stage.network
