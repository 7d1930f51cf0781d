"""The recurrent matting network: image and person probability to alpha and foreground, without flicker.

Molodetskikh et al., "Temporally coherent person matting trained on fake-motion dataset" (2022): a U-Net on MobileNetV2
with ConvLSTM on the skip connections and attention over groups of frames at the lowest resolution.

| scale | features | skip connection |
|---|---|---|
| 1 | input, 4 | ConvLSTM, 1x1 to 64 |
| 1/2 | 16 | ConvLSTM, 1x1 to 64 |
| 1/4 | 24 | ConvLSTM, 1x1 to 64 |
| 1/8 | 32 | ConvLSTM, 1x1 to 64 |
| 1/16 | 96 | none: as they are |
| 1/32 | 320 | attention over k frames (320), and ConvLSTM, 1x1 to 64; both (384) to 96 |

The state of the ConvLSTM passes through the whole video. Attention sees the k frames of a group; groups are counted
from the first frame of a call. A video may be fed in parts whose lengths are multiples of k, with the same result.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, scaled_dot_product_attention

from labeling.matting.mobilenet import MobileNetEncoder
from labeling.matting.temporal_inputs import STRIDE

INPUTS = 4
PRIOR_LOGIT = 5.0
"""Alpha's logit where the person probability is 1, before the network changes it; its negative where it is 0."""
State = tuple[tuple[Tensor, Tensor], ...]
"""Hidden and cell values of each ConvLSTM, from the finest to the coarsest: N x C x h x w each."""


@dataclass(frozen=True, slots=True)
class TemporalSize:
    """The size of a network."""

    side_px: int
    """Side of the square training images."""
    width: float
    """Factor of the encoder's channels."""
    skip: int
    """Channels of a skip connection (the paper's 64)."""
    bottleneck: int
    last: int
    """Channels before the output."""
    heads: int = 4
    """Of attention."""
    group: int = 4
    """Frames that attention sees (the paper's k)."""


TEMPORAL_SIZES = {
    "full": TemporalSize(256, width=1.0, skip=64, bottleneck=96, last=32),
    "cpu": TemporalSize(192, width=0.5, skip=24, bottleneck=48, last=16),
    "tiny": TemporalSize(64, width=0.25, skip=8, bottleneck=16, last=8, heads=2, group=2),
}


class TemporalMattingNetwork(nn.Module):
    """Frames and person probabilities to alpha and foreground.

    Inputs are N x T x 3 x H x W (RGB in [-1, 1]) and N x T x 1 x H x W (in [0, 1]). Returns alpha, N x T x 1 x H x W in
    [0, 1], the foreground's RGB, N x T x 3 x H x W around [-1, 1], and the state for the next frames. A new shot starts
    with the state None. A network that is not recurrent, for comparison, sees each frame alone, and returns the state as it
    was given.

    Alpha is the person probability, changed by the network on the scale of logits: an untrained network returns the
    probability as it is. (In the paper the network makes alpha alone, from 20,000 clips on GPUs.)
    """

    def __init__(self, size: TemporalSize, *, is_recurrent: bool = True) -> None:
        super().__init__()
        self.size, self.is_recurrent = size, is_recurrent
        self.encoder = MobileNetEncoder(INPUTS, size.width)
        half, quarter, eighth, sixteenth, coarsest = self.encoder.channels
        self.state_channels = ((INPUTS, 1), (half, 2), (quarter, 4), (eighth, 8), (coarsest, STRIDE))
        """Channels of each ConvLSTM, and its stride in pixels."""
        self.skips = nn.ModuleList(
            RecurrentSkip(channels, size.skip) for channels in (INPUTS, half, quarter, eighth, coarsest)
        )
        self.attention = GroupAttention(coarsest, size.heads)
        self.bottleneck = _conv(coarsest + size.skip, size.bottleneck)
        self.decoders = nn.ModuleList(
            [
                _conv(size.bottleneck + sixteenth, size.skip),
                _conv(2 * size.skip, size.skip),
                _conv(2 * size.skip, size.skip),
                _conv(2 * size.skip, size.skip),
                _conv(2 * size.skip, size.last),
            ]
        )
        self.output = nn.Conv2d(size.last, 4, 3, padding=1)
        with torch.no_grad():
            self.output.weight[3:].zero_()
            self.output.bias[3:].zero_()  # type: ignore[index]  # it has a bias

    def forward(
        self, image: Tensor, probability: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        clips, height, width = image.shape[0], image.shape[-2], image.shape[-1]
        count, known = (image.shape[1], state) if self.is_recurrent else (1, None)
        frames = _pad(torch.cat([image, 2 * probability - 1], dim=2).flatten(0, 1))
        half, quarter, eighth, sixteenth, coarsest = self.encoder(frames)

        remembered, states = [], []
        for number, (skip, features) in enumerate(
            zip(self.skips, (frames, half, quarter, eighth, coarsest), strict=True)
        ):
            values, after = skip(_by_clip(features, count), known[number] if known else None)
            remembered.append(values.flatten(0, 1))
            states.append(after)
        attended = self.attention(_by_clip(coarsest, count), self.size.group).flatten(0, 1)

        decoded = self.bottleneck(torch.cat([attended, remembered[4]], dim=1))
        skips = (sixteenth, remembered[3], remembered[2], remembered[1], remembered[0])
        for decoder, skip in zip(self.decoders, skips, strict=True):
            larger = interpolate(
                decoded, size=(skip.shape[-2], skip.shape[-1]), mode="bilinear", align_corners=False
            )
            decoded = decoder(torch.cat([larger, skip], dim=1))
        output = self.output(decoded)[..., :height, :width].unflatten(0, (clips, -1))
        logit = output[:, :, 3:] + PRIOR_LOGIT * (2 * probability - 1)
        return torch.sigmoid(logit), output[:, :, :3], tuple(states) if self.is_recurrent else state or ()


class RecurrentSkip(nn.Module):
    """ConvLSTM over time, then a 1x1 convolution and ReLU: N x T x C x h x w to N x T x outputs x h x w."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.cell = ConvLstmCell(channels)
        self.project = nn.Sequential(nn.Conv2d(channels, outputs, 1), nn.ReLU(inplace=True))

    def forward(
        self, features: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        zeros = torch.zeros_like(features[:, 0])
        hidden, memory = state or (zeros, zeros)
        made = []
        for frame in features.unbind(dim=1):
            hidden, memory = self.cell(frame, hidden, memory)
            made.append(self.project(hidden))
        return torch.stack(made, dim=1), (hidden, memory)


class ConvLstmCell(nn.Module):
    """One step of a convolutional LSTM (Shi et al., NIPS 2015), without peepholes; 3x3, as many outputs as inputs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * channels, 4 * channels, 3, padding=1)
        with torch.no_grad():  # the memory is kept at first
            self.gates.bias[channels : 2 * channels].fill_(1.0)  # type: ignore[index]  # it has a bias

    def forward(self, features: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        enter, keep, show, candidate = self.gates(torch.cat([features, hidden], dim=1)).chunk(4, dim=1)
        memory = torch.sigmoid(keep) * memory + torch.sigmoid(enter) * torch.tanh(candidate)
        return torch.sigmoid(show) * torch.tanh(memory), memory


class GroupAttention(nn.Module):
    """Self-attention (Vaswani et al., 2017) among all positions of the frames of a group, added to the features."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.normalize = nn.LayerNorm(channels)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, features: Tensor, group: int) -> Tensor:
        """Return N x T x C x h x w; the last group may be shorter."""
        starts = range(0, features.shape[1], group)
        return torch.cat([self._attend(features[:, start : start + group]) for start in starts], dim=1)

    def _attend(self, features: Tensor) -> Tensor:
        # a slice of a shape would be constant in an ONNX file
        count, height, width = features.shape[1], features.shape[3], features.shape[4]
        clips, channels = features.shape[0], features.shape[2]
        tokens = features.permute(0, 1, 3, 4, 2).reshape(clips, -1, channels)
        mixed = self.queries_keys_values(self.normalize(tokens))
        queries, keys, values = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in mixed.chunk(3, dim=-1)
        )
        seen = scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        changed: Tensor = tokens + self.project(seen)
        return changed.reshape(clips, count, height, width, channels).permute(0, 1, 4, 2, 3)


def _by_clip(features: Tensor, count: int) -> Tensor:
    """Return M x C x h x w as N x count x C x h x w; `unflatten` would fix h and w in an ONNX file."""
    channels, height, width = features.shape[1], features.shape[2], features.shape[3]
    return features.reshape(-1, count, channels, height, width)


def detach_state(state: State) -> State:
    """Return the state without its history: gradients end there."""
    return tuple((hidden.detach(), memory.detach()) for hidden, memory in state)


def _pad(frames: Tensor) -> Tensor:
    """Pad to multiples of `STRIDE` at the right and below, by reflection, or by repetition for very small images."""
    height, width = frames.shape[-2:]
    right, below = -width % STRIDE, -height % STRIDE
    mode = "reflect" if right < width and below < height else "replicate"
    return pad(frames, (0, right, 0, below), mode=mode) if right or below else frames


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, ReLU, batch normalization."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(outputs)
    )
