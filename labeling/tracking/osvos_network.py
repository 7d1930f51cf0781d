"""The network that segments one person: multi-scale features of a backbone, fused by a small head.

After OSVOS (Caelles et al., CVPR 2017): each stage of the backbone gives 16 maps through a 3x3 convolution,
these are enlarged by fixed bilinear interpolation, joined, and reduced to one logit by 1x1 convolutions.
The backbone is shared by all people, and each person has a head, so that fine-tuning to a person
trains some tens of thousands of weights on features that are computed once.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from configs.errors import ExtraMissing, UnknownModel, WeightsCorrupt, WeightsMissing

SIDE_CHANNELS = 16
LARGEST_STRIDE = 16
"""Stages with a larger stride are not used, as in OSVOS: a person has few of their pixels."""
GUIDES = 6
"""Maps beside the features: position in the expected box, its squares, and the difference from the background."""
HIDDEN = 24
"""Channels between the joined maps and the logit; OSVOS has none, so it cannot join position and appearance."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RANDOM = "random"


class Backbone(nn.Module):
    """The first stages of a network of `timm`, by name; RGB in, one map per stage out, finest first."""

    def __init__(self, name: str, weights: Path | None = None, *, seed: int = 0) -> None:
        """Load `weights`, a state dict of the whole network; None: random weights.

        Raises:
            ExtraMissing: `timm` is not installed.
            UnknownModel: it has no network of that name with a map per stage.
            WeightsMissing, WeightsCorrupt: the file is absent, or has other shapes.
        """
        super().__init__()
        torch.manual_seed(seed)
        self.name = name
        self.network, channels, strides = _create(name)
        used = [index for index, stride in enumerate(strides) if stride <= LARGEST_STRIDE]
        self.channels = tuple(channels[index] for index in used)
        self.strides = tuple(strides[index] for index in used)
        self.sha256 = load_backbone(self.network, weights) if weights else RANDOM
        self.network.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Return the maps of (n, 3, h, w) images in [0, 1]; h and w are multiples of 16."""
        normalized = ((rgb - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = self.network(normalized)
        return maps[: len(self.channels)]


def _create(name: str) -> tuple[nn.Module, list[int], list[int]]:
    try:
        import timm
    except ImportError as exc:
        raise ExtraMissing(
            f"the backbone {name!r} requires timm, which is not installed: pip install 'maskmill[osvos]'"
        ) from exc
    try:
        whole: Any = timm.create_model(name, features_only=True, pretrained=False)
        strides = [int(one) for one in whole.feature_info.reduction()]
        used = tuple(index for index, stride in enumerate(strides) if stride <= LARGEST_STRIDE)
        network: Any = timm.create_model(name, features_only=True, pretrained=False, out_indices=used)
    except (RuntimeError, AssertionError, AttributeError, IndexError) as exc:  # timm has no error classes
        raise UnknownModel(
            f"backbone {name!r}: timm has no such network with feature maps ({exc}); see timm.list_models()"
        ) from exc
    return network, list(network.feature_info.channels()), list(network.feature_info.reduction())


def load_backbone(network: nn.Module, path: Path) -> str:
    """Load weights of the whole network into its first stages, and return the file's SHA-256.

    Names may differ, as between timm and the package of EfficientNet-Lite's authors: then weights are
    taken in their order, if all shapes are equal.
    """
    if not path.is_file():
        raise WeightsMissing(f"backbone weights {path}: no such file; check the path")
    content = path.read_bytes()
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        given: dict[str, Tensor] = loaded.get("state_dict", loaded)
    except Exception as exc:  # torch raises many kinds for a file that is not its own
        raise WeightsCorrupt(f"backbone weights {path}: not a state dict of torch: {exc}") from exc
    wanted = network.state_dict()
    if set(wanted) <= set(given):
        given = {name: given[name] for name in wanted}
    else:
        given = dict(zip(wanted, given.values(), strict=False))
    differing = [name for name in wanted if name not in given or given[name].shape != wanted[name].shape]
    if differing:
        raise WeightsCorrupt(
            f"backbone weights {path}: {len(differing)} of {len(wanted)} weights have other shapes, the first "
            f"{differing[0]}: the file belongs to another network"
        )
    network.load_state_dict(given)
    return sha256(content).hexdigest()


class PersonHead(nn.Module):
    """Maps of a backbone and guides to one logit per pixel."""

    def __init__(self, channels: Sequence[int], *, guides: int = GUIDES, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.sides = nn.ModuleList(nn.Conv2d(count, SIDE_CHANNELS, 3, padding=1) for count in channels)
        self.side_logits = nn.ModuleList(nn.Conv2d(SIDE_CHANNELS, 1, 1) for _ in channels)
        joined = SIDE_CHANNELS * len(channels) + guides
        self.fuse = nn.Sequential(nn.Conv2d(joined, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1))
        self.to(memory_format=torch.channels_last)  # half the time of a step on a CPU

    def forward(self, maps: Sequence[Tensor], guides: Tensor) -> Tensor:
        """Return logits, (n, 1, h, w), of the size of the finest map; guides have that size too."""
        sides = [functional.relu(side(one)) for side, one in zip(self.sides, maps, strict=True)]
        enlarged = [enlarge(side, guides.shape[-2:]) for side in sides]
        logits: Tensor = self.fuse(torch.cat([*enlarged, guides], dim=1))
        return logits

    def side_outputs(self, maps: Sequence[Tensor], size_hw: tuple[int, int]) -> list[Tensor]:
        """Return logits of each stage alone, for the training of the parent network."""
        outputs = []
        for side, logit, one in zip(self.sides, self.side_logits, maps, strict=True):
            outputs.append(enlarge(logit(functional.relu(side(one))), size_hw))
        return outputs


def read_parent(path: Path, backbone: Backbone) -> PersonHead:
    """Load a network of `maskmill train osvos-parent`: the backbone's weights, and a head to start from.

    Raises:
        WeightsMissing, WeightsCorrupt: the file is absent, or belongs to another backbone.
    """
    if not path.is_file():
        raise WeightsMissing(f"parent network {path}: no such file; check the path")
    head = PersonHead(backbone.channels)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        head.load_state_dict(stored["head"])
        backbone.network.load_state_dict(stored["backbone"])
    except Exception as exc:  # torch raises many kinds for a file that is not its own
        raise WeightsCorrupt(
            f"parent network {path} does not fit the backbone {backbone.name}: {exc}"
        ) from exc
    return head


def enlarge(maps: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Enlarge maps by bilinear interpolation, the fixed transposed convolution of OSVOS."""
    if tuple(maps.shape[-2:]) == tuple(size_hw):
        return maps
    return functional.interpolate(maps, size=tuple(size_hw), mode="bilinear", align_corners=False)


def balanced_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the class-balanced cross entropy, per pixel.

    (N-/N) * sum over the person + (N+/N) * sum over the rest, divided by N (Caelles et al., eq. 1). N counts
    pixels times `weight`, which is 0 for ignored ones and above 1 for hard negatives. All (n, 1, h, w).

    >>> logits = torch.zeros(1, 1, 1, 4)
    >>> target = torch.tensor([[[[1.0, 0, 0, 0]]]])
    >>> round(float(balanced_loss(logits, target, torch.ones_like(target))), 4)  # 2 * 0.75 * 0.25 * ln 2
    0.2599
    """
    axes = (1, 2, 3)
    positive, negative = target * weight, (1 - target) * weight
    total = weight.sum(axes).clamp_min(1e-6)
    share = positive.sum(axes) / total
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    of_person, of_rest = ((loss * one).sum(axes) / total for one in (positive, negative))
    return ((1 - share) * of_person + share * of_rest).mean()
