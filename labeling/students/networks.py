"""Networks of students: an image in, the logit of a person for each pixel out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from configs.errors import ConfigError, ExtraMissing, MaskmillError
from configs.student_training import StudentNetwork
from labeling.segmenters.python_factory import find_factory

CHANNELS = (16, 24, 32, 48, 64)
"""Of the small network, from half of the input's resolution to a 32nd."""
_PYTHON = "python:"


class SmallStudent(nn.Module):
    """A slim U-Net of 0.24 million parameters; its finest features have half of the input's resolution."""

    def __init__(self) -> None:
        super().__init__()
        finer, coarser = CHANNELS[:-1], CHANNELS[1:]
        self.stem = _convolution(3, CHANNELS[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(before, after, stride=2), _convolution(after, after))
            for before, after in zip(finer, coarser, strict=True)
        )
        self.up = nn.ModuleList(
            _convolution(below + skip, skip) for below, skip in zip(coarser, finer, strict=True)
        )
        self.out = nn.Conv2d(CHANNELS[0], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, N x 1 x H x W, of images N x 3 x H x W."""
        x = self.stem(image)
        skips = [x]
        for down in self.down:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in reversed(self.up):
            skip = skips.pop()
            x = up(torch.cat([interpolate(x, size=skip.shape[-2:], mode="nearest"), skip], dim=1))
        return _to_size(self.out(x), image)


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalization, ReLU: operations that quantization joins to one."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


def _to_size(logits: Tensor, image: Tensor) -> Tensor:
    return interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=False)


class TorchvisionStudent(nn.Module):
    """A segmentation network of torchvision with one class."""

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            from torchvision.models import get_model
        except ImportError as exc:
            raise ExtraMissing(
                f"the network {name} requires torchvision, which is not installed: pip install 'maskmill[student]'"
            ) from exc
        more = {} if name.startswith("lraspp") else {"aux_loss": False}
        self.model = get_model(name, weights=None, weights_backbone=None, num_classes=1, **more)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image)["out"]
        return logits


def make_network(reference: StudentNetwork, options: Mapping[str, Any]) -> nn.Module:
    """Return a network with random weights.

    `reference` is `small`, a name of torchvision, or `python:module:factory`, which is called with the options and
    returns a `torch.nn.Module`.

    Raises:
        ConfigError: the factory cannot be called, or its network does not give N x 1 x H x W.
        ExtraMissing: torchvision is not installed.

    >>> make_network("small", {})(torch.zeros(1, 3, 48, 64)).shape
    torch.Size([1, 1, 48, 64])
    """
    if reference == "small":
        return SmallStudent()
    if not reference.startswith(_PYTHON):
        return TorchvisionStudent(reference)
    return _make_own(reference.removeprefix(_PYTHON), options)


def _make_own(factory: str, options: Mapping[str, Any]) -> nn.Module:
    try:
        made = find_factory(factory)(**options)
    except MaskmillError:
        raise
    except Exception as exc:  # a user's function can raise anything
        raise ConfigError(f"network python:{factory} failed: {type(exc).__name__}: {exc}") from exc
    if not isinstance(made, nn.Module):
        raise ConfigError(
            f"network python:{factory} returned a {type(made).__name__}: return a torch.nn.Module"
        )
    return made


def check_network(network: nn.Module, input_hw: tuple[int, int]) -> None:
    """Run a network on an empty image; ConfigError if its output is not 1 x 1 x H x W."""
    expected = (1, 1, *input_hw)
    try:
        with torch.no_grad():
            output = network.eval()(torch.zeros(1, 3, *input_hw))
    except (RuntimeError, ValueError, TypeError) as exc:
        raise ConfigError(f"the network fails on an image of {input_hw} (height, width): {exc}") from exc
    if not isinstance(output, Tensor) or tuple(output.shape) != expected:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ConfigError(
            f"the network returns {shape} for an image of {input_hw} (height, width): return logits of {expected}"
        )


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Load weights of the same network; of one with VOC's classes, as torchvision publishes them, keep the person.

    Raises:
        ConfigError: they belong to another network.
    """
    own = network.state_dict()
    named = _with_own_names(weights, own)
    fitted = {name: _only_person(named[name], own[name]) for name in own if name in named}
    wrong = [name for name in own if name not in fitted or fitted[name].shape != own[name].shape]
    if wrong:
        raise ConfigError(
            f"{origin} has the weights of another network: {len(wrong)} of {len(own)} tensors are missing or have "
            f"another shape, such as {wrong[0]}; set `network` to the one that it was trained as"
        )
    network.load_state_dict(fitted)


def _with_own_names(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the weights under the network's names: torchvision's files have no `model.` before them."""
    if any(name in own for name in weights):
        return weights
    return {f"model.{name}": values for name, values in weights.items()}


_VOC_CLASSES, _VOC_PERSON = 21, 15


def _only_person(values: Tensor, own: Tensor) -> Tensor:
    """Return the last layer's weights for the logit of a person against the background."""
    if values.shape[:1] == (_VOC_CLASSES,) and own.shape[:1] == (1,):
        return values[_VOC_PERSON : _VOC_PERSON + 1] - values[:1]
    return values
