"""Settings of trainings."""

from typing import Literal

from pydantic import Field

from configs.block import Block, Fraction01


class MattingTraining(Block):
    """The supervised stage of the matting network."""

    size: Literal["cpu", "full"] = "cpu"
    """`cpu`: 256 pixels, 6.5 billion multiplications a sample; `full`: the paper's, 512 pixels, 406 billion."""
    seed: int = 1
    batch: int = Field(8, ge=1)
    steps: int = Field(4000, ge=1)
    """Optimizer steps in all."""
    steps_per_epoch: int = Field(50, ge=1)
    """Steps between two checkpoints; a killed training repeats at most so many."""
    learning_rate: float = Field(1e-3, gt=0)
    """Largest learning rate of Adam; it rises during `warm_up` and then falls to 0 along a cosine."""
    warm_up: Fraction01 = 0.1
    divergence: float = Field(0.0, ge=0)
    """Weight of the divergence loss; 0 turns it off."""
    only_shadows: bool = True
    """Apply the divergence loss only where the image looks like darkened background: otherwise hats and guitars
    vanish too."""
    precision: Literal["32", "bf16", "16"] = "32"
    """`bf16` is several times as fast on CPUs with AMX and on recent GPUs."""
    workers: int = Field(1, ge=0)
    """Processes that make samples."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of the network; None: all."""
