"""Training of the recurrent matting network on fake-motion clips, on the loop of `train`."""

from pathlib import Path
from typing import Any, Protocol

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from configs.training import TemporalTraining
from labeling.matting.temporal_export import read_temporal_weights
from labeling.matting.temporal_losses import TEMPORAL_WEIGHTS, ClipTruth, temporal_losses
from labeling.matting.temporal_matting import (
    TEMPORAL_SIZES,
    State,
    TemporalMattingNetwork,
    detach_state,
)
from labeling.training.loop import (
    Batch,
    StagePlan,
    fit_stage,
    recompute_batch_norm,
    seed_everything,
    with_one_cycle,
)


class ClipMaker(Protocol):
    """Makes sample `index`; see `temporal_clips.ClipSamples`."""

    def clip(self, index: int) -> dict[str, NDArray[np.float32]]: ...


class ClipDataset(Dataset[Batch]):
    """Clips as tensors."""

    def __init__(self, source: ClipMaker) -> None:
        self._source = source

    def __getitem__(self, index: int) -> Batch:
        return {name: torch.from_numpy(array) for name, array in self._source.clip(index).items()}


class TemporalStage(lightning.LightningModule):
    """Training on clips whose alpha, foreground and flow are known exactly."""

    def __init__(self, settings: TemporalTraining) -> None:
        super().__init__()
        self.settings = settings
        self.network = TemporalMattingNetwork(
            TEMPORAL_SIZES[settings.size], is_recurrent=settings.is_recurrent
        ).to(memory_format=torch.channels_last)

        self._kept: State | None = None
        """The state after the last step; not in checkpoints, since it is dropped at the start of an epoch."""

    def on_train_epoch_start(self) -> None:
        self._kept = None

    def training_step(self, batch: Batch, index: int) -> Tensor:
        image, probability = batch["image"], batch["probability"]
        state = self._first_state(image, probability, index) if self.network.is_recurrent else None
        alpha, foreground, after = self.network(image, probability, state)
        self._kept = detach_state(after)
        names = ("alpha", "foreground", "background", "flow", "is_known")
        terms = temporal_losses(
            alpha.float(), foreground.float(), ClipTruth(*(batch[name] for name in names))
        )
        loss = torch.stack([TEMPORAL_WEIGHTS[name] * term for name, term in terms.items()]).sum()
        self.log_dict({"loss": loss, **terms}, on_step=True, on_epoch=False)
        return loss

    def _first_state(self, image: Tensor, probability: Tensor, index: int) -> State | None:
        """Return what the network remembers before the first frame: it runs for minutes, but is trained on few frames.

        In turn: the frames of the clip backwards; nothing; the frames backwards, after another clip; another clip. With
        nothing in all steps, as in the paper, a network never learned to forget: after 90 frames, alpha covered every
        place where a person had been.
        """
        before = None if self._kept is None or index % 4 < 2 else _of_other_clips(self._kept)  # noqa: PLR2004
        if index % 2:
            return before
        with torch.no_grad():
            _, _, state = self.network(image.flip(1), probability.flip(1), before)
        return detach_state(state)

    def configure_optimizers(self) -> Any:
        settings = self.settings
        optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        return with_one_cycle(
            optimizer, settings, learning_rate=settings.learning_rate, warm_up=settings.warm_up
        )


def _of_other_clips(state: State) -> State:
    """Return the state with each clip's part moved to the next clip."""
    return tuple((hidden.roll(1, dims=0), memory.roll(1, dims=0)) for hidden, memory in state)


def train_temporal(
    settings: TemporalTraining, source: ClipMaker, folder: Path, *, show_progress: bool = False
) -> TemporalMattingNetwork:
    """Train, or continue a training that was interrupted, and return the network.

    `folder` receives `last.ckpt` after each epoch, and the loss of each step in `metrics.csv`.

    Raises:
        ConfigError: the weights of `settings.start` are not those of such a network.
        Interrupted: Ctrl-C; the same call continues.
        StorageError: a file cannot be written.
    """
    seed_everything(settings)
    stage, clips = TemporalStage(settings), ClipDataset(source)
    if settings.start:
        weights = read_temporal_weights(settings.start, stage.network.state_dict())
        stage.network.load_state_dict(weights, strict=False)  # batches are counted from 0
    plan = StagePlan(folder, settings.steps_per_epoch, settings.epochs, show_progress=show_progress)
    fit_stage(stage, clips, settings, plan)
    recompute_batch_norm(stage.network, clips, inputs=("image", "probability"), batch=settings.batch)
    return stage.network
