"""Settings of `maskmill synthesize`."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from configs.block import Block, Fraction01


class FakeMotionBlock(Block):
    """Clips of people cut out of images and set in motion (Molodetskikh et al. 2022, section on fake motion)."""

    seed: int = Field(1, ge=0)
    width: int = Field(480, ge=64, le=4096)
    """Pixels; even."""
    height: int = Field(320, ge=64, le=4096)
    """Pixels; even."""
    fps: float = Field(24.0, gt=0, le=240)
    """Frames per second of the written videos."""
    duration_s: float = Field(3.0, gt=0, le=60)
    half_out: Fraction01 = 1 / 3
    """Share of the clips in which one person moves sideways until half of the body has left the image, and back."""
    second_person: Fraction01 = 0.3
    """Share of the clips with two people."""
    amplitudes: tuple[float, float, float] = (0.04, 0.015, 0.006)
    """Largest displacement by the motion of 2x2, 4x4 and 8x8 random vectors, as a share of the shorter side."""
    key_every_s: float = Field(0.5, gt=0)
    """Seconds between two random states of the motion; in between, a cosine eases from one to the other."""
    pan: Fraction01 = 0.15
    """Largest movement of the camera over the background, as a share of the image's sides; 0: it stands still."""
    noise: float = Field(0.0, ge=0, le=50)
    """Standard deviation of the sensor's noise, in levels of 255."""
    max_cutouts: int = Field(2000, ge=1)
    """Most people that are kept in memory, spread over the labeled images."""

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return max(2, round(self.duration_s * self.fps))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % 2 or self.height % 2:
            raise PydanticCustomError("odd_side", "width and height must be even: videos are stored in 4:2:0")
        if min(self.amplitudes) < 0:
            raise PydanticCustomError("amplitudes", "amplitudes must not be negative")
        return self
