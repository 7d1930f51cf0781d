"""What the two stages of a training read: a composite with exact alpha, and a crop of a real video."""

from dataclasses import dataclass

from labeling.matting.inputs import FloatImage, NetworkInput


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A composite: network input, exact alpha (1xSxS), and foreground (3xSxS in [-1, 1])."""

    input: NetworkInput
    alpha: FloatImage
    foreground: FloatImage
    background: FloatImage
    """The scene behind the people, with their shadows (3xSxS in [-1, 1])."""
    shadow_like: FloatImage
    """1 where the image looks like darkened background (1xSxS)."""


@dataclass(frozen=True, slots=True, eq=False)
class RealSample:
    """A crop of a real frame, and what its people are composed onto."""

    input: NetworkInput
    other_background: FloatImage
    """Another empty scene (3xSxS in [-1, 1])."""
    shift_px: int
    """Horizontal move of the people on it; they stay inside."""
    shadow_like: FloatImage
    """1 where the image looks like darkened background (1xSxS)."""
