"""Settings of a student's training, and those that all trainings have."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from configs.block import Block, Fraction01


class Training(Block):
    """What all trainings have."""

    seed: int = Field(1, ge=0)
    batch: int = Field(8, ge=1)
    """Samples of a step, on each device."""
    steps: int = Field(2000, ge=1)
    """Optimizer steps in all, rounded up to whole epochs."""
    steps_per_epoch: int = Field(50, ge=1)
    """Steps between two checkpoints; a killed training repeats at most so many."""
    precision: Literal["32", "bf16", "16"] = "32"
    """`bf16` is several times as fast on CPUs with AMX and on recent GPUs."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, ge=1)
    """GPUs, or processes on the CPU, that share the work. Another number is another training."""
    workers: int = Field(1, ge=0)
    """Processes that make samples, for each device."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of the network; None: all."""

    @property
    def epochs(self) -> int:
        """Epochs of the (first) stage."""
        return math.ceil(self.steps / self.steps_per_epoch)

    def identity(self) -> dict[str, object]:
        """Return the settings that determine the result, as plain values."""
        return self.model_dump(mode="json", exclude={"weights_dir", "device", "workers", "threads"})


StudentNetwork = Annotated[
    str,
    Field(
        pattern=r"^(small|lraspp_mobilenet_v3_large|deeplabv3_mobilenet_v3_large|python:[\w.]+:\w+)$",
        description="small, lraspp_mobilenet_v3_large, deeplabv3_mobilenet_v3_large, or python:module:factory",
    ),
]


class StudentTraining(Training):
    """Training of a student: a network that marks people, on the `train` frames of a dataset version."""

    network: StudentNetwork = "small"
    """`small` (0.2 million parameters), `lraspp_mobilenet_v3_large` or `deeplabv3_mobilenet_v3_large` of torchvision, or
    `python:package.module:factory`: your own code, which returns a `torch.nn.Module` from Nx3xHxW to logits Nx1xHxW."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of your own factory."""
    input_hw: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] = (256, 256)
    """Height and width of the network's input; frames are scaled to it."""
    learning_rate: float = Field(1e-3, gt=0)
    """Largest learning rate of AdamW; it rises during `warm_up` and then falls to 0 along a cosine."""
    weight_decay: float = Field(1e-2, ge=0)
    warm_up: Fraction01 = 0.1
    max_frames: int | None = Field(None, ge=1)
    """Frames of `train` that are used, drawn at random by the seed; None: all. To compare a version with as many random
    frames."""
    base_share: float = Field(0.5, ge=0, lt=1)
    """Share of the samples from the base dataset, if one is named: so the network does not forget."""
    calibration_frames: int = Field(64, ge=1)
    """Frames of `train` from which the ranges of the int8 network are taken, spread evenly."""
