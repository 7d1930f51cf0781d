"""The recurrent network: shapes, gradients, memory, and parts of a video that give the same as the whole."""

import pytest
import torch

from labeling.matting.mobilenet import MobileNetEncoder
from labeling.matting.temporal_matting import (
    PRIOR_LOGIT,
    TEMPORAL_SIZES,
    ConvLstmCell,
    GroupAttention,
    TemporalMattingNetwork,
    detach_state,
)

TINY = TEMPORAL_SIZES["tiny"]


def clip(
    frames: int = 4, *, batch: int = 1, size_hw: tuple[int, int] = (64, 64)
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, frames, 3, *size_hw, generator=generator) * 2 - 1
    return image, torch.rand(batch, frames, 1, *size_hw, generator=generator)


@pytest.fixture(scope="module")
def network() -> TemporalMattingNetwork:
    torch.manual_seed(1)
    made = TemporalMattingNetwork(TINY)
    with torch.no_grad():
        for _ in range(2):  # so that the running means of the normalization are not those of the start
            made(*clip(batch=2))
        made.output.weight.normal_(std=0.5)  # else alpha is the person probability
    return made.eval()


def test_the_channels_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        full = TemporalMattingNetwork(TEMPORAL_SIZES["full"])
    assert full.encoder.channels == [16, 24, 32, 96, 320]
    sizes = {name: tuple(weights.shape[:2]) for name, weights in full.named_parameters()}
    assert [sizes[f"skips.{i}.cell.gates.weight"] for i in range(5)] == [
        (4 * channels, 2 * channels) for channels in (4, 16, 24, 32, 320)
    ]
    assert [sizes[f"skips.{i}.project.0.weight"] for i in range(5)] == [
        (64, channels) for channels in (4, 16, 24, 32, 320)
    ]
    assert [sizes[f"decoders.{i}.0.weight"] for i in range(5)] == [
        (64, 192), (64, 128), (64, 128), (64, 128), (32, 128),
    ]  # fmt: skip
    assert (sizes["bottleneck.0.weight"], sizes["output.weight"]) == ((96, 384), (4, 32))


def test_an_untrained_network_returns_the_probability() -> None:
    image, probability = clip(2)
    with torch.no_grad():
        alpha, _, _ = TemporalMattingNetwork(TINY)(image, probability)
    assert torch.allclose(alpha, torch.sigmoid(PRIOR_LOGIT * (2 * probability - 1)), atol=1e-6)
    assert alpha[probability > 0.9].min() > 0.98
    assert alpha[probability < 0.1].max() < 0.02


def test_sides_need_not_be_multiples_of_32(network: TemporalMattingNetwork) -> None:
    with torch.no_grad():
        alpha, foreground, state = network(*clip(2, size_hw=(50, 70)))
    assert alpha.shape == (1, 2, 1, 50, 70)
    assert foreground.shape == (1, 2, 3, 50, 70)
    assert 0 <= alpha.min() <= alpha.max() <= 1
    assert [tuple(hidden.shape[-2:]) for hidden, _ in state] == [
        (64, 96),
        (32, 48),
        (16, 24),
        (8, 12),
        (2, 3),
    ]


def test_gradients_reach_every_part() -> None:
    torch.manual_seed(1)
    network = TemporalMattingNetwork(TINY)
    alpha, foreground, _ = network(*clip(3))
    (alpha.square().sum() + foreground.square().sum()).backward()
    parts = {f"skip {i}": part for i, part in enumerate(network.skips)}
    parts |= {f"decoder {i}": part for i, part in enumerate(network.decoders)}
    parts |= {f"features {i}": part for i, part in enumerate(network.encoder.features)}
    parts |= {name: getattr(network, name) for name in ("attention", "bottleneck", "output")}
    assert len(parts) == 5 + 5 + 18 + 3
    for name, part in parts.items():
        gradients = [weight.grad for weight in part.parameters()]
        assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients), name


def test_a_video_in_parts_gives_the_same_as_the_whole(network: TemporalMattingNetwork) -> None:
    image, probability = clip(5)
    with torch.no_grad():
        whole_alpha, whole_foreground, whole_state = network(image, probability)
        state, alphas, foregrounds = None, [], []
        for start in range(0, 5, TINY.group):
            part = slice(start, start + TINY.group)
            alpha, foreground, state = network(image[:, part], probability[:, part], state)
            alphas.append(alpha)
            foregrounds.append(foreground)
    assert (torch.cat(alphas, dim=1) - whole_alpha).abs().max() < 1e-5
    assert (torch.cat(foregrounds, dim=1) - whole_foreground).abs().max() < 1e-5
    for mine, other in zip(state or (), whole_state, strict=True):
        assert all((a - b).abs().max() < 1e-5 for a, b in zip(mine, other, strict=True))


def test_earlier_frames_change_later_ones_through_the_state_alone(network: TemporalMattingNetwork) -> None:
    image, probability = clip(4)
    changed = image.clone()
    changed[:, 0] = -changed[:, 0]
    with torch.no_grad():
        before, _, _ = network(image, probability)
        after, _, _ = network(changed, probability)
        _, _, state = network(image[:, :2], probability[:, :2])
        fresh, _, _ = network(image[:, 2:], probability[:, 2:])
        carried, _, _ = network(image[:, 2:], probability[:, 2:], detach_state(state))
    assert (before[:, 3] - after[:, 3]).abs().max() > 1e-6  # another group: no attention
    assert (carried - before[:, 2:]).abs().max() < 1e-5
    assert (fresh - before[:, 2:]).abs().max() > 1e-6


def test_attention_mixes_the_frames_of_a_group_and_no_others() -> None:
    torch.manual_seed(2)
    attention = GroupAttention(8, heads=2)
    features = torch.rand(1, 4, 8, 2, 3)
    changed = features.clone()
    changed[:, 1] += 1 + torch.rand(8, 2, 3)
    difference = (attention(features, 2) - attention(changed, 2)).abs().amax(dim=(0, 2, 3, 4))
    assert difference[0] > 1e-6
    assert difference[2:].max() == 0


def test_the_cell_follows_the_equations_of_an_lstm() -> None:
    """A 1x1 image is one unit: with only the middle of the filter, it is torch's LSTM cell."""
    torch.manual_seed(3)
    cell, reference = ConvLstmCell(2), torch.nn.LSTMCell(2, 2)
    i, f, g, o = (slice(start, start + 2) for start in (0, 2, 4, 6))  # torch's order of gates
    weights = torch.cat([reference.weight_ih, reference.weight_hh], dim=1)
    bias = reference.bias_ih + reference.bias_hh
    with torch.no_grad():
        cell.gates.weight[..., 1, 1] = torch.cat([weights[part] for part in (i, f, o, g)])
        cell.gates.bias.copy_(torch.cat([bias[part] for part in (i, f, o, g)]))  # type: ignore[union-attr]  # it has a bias
    features, hidden, memory = (torch.rand(3, 2) for _ in range(3))
    expected = reference(features, (hidden, memory))
    found = cell(*(values[..., None, None] for values in (features, hidden, memory)))
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine[..., 0, 0], other)


@pytest.mark.requires("torch", module="torchvision")
def test_the_encoder_is_torchvisions_with_a_channel_of_zeros() -> None:
    from torchvision.models import mobilenet_v2

    torch.manual_seed(4)
    reference = mobilenet_v2(weights=None, width_mult=0.35).features[:18].eval()
    encoder = MobileNetEncoder(4, 0.35).eval()
    encoder.load_rgb(reference.state_dict())
    image = torch.rand(1, 4, 64, 32)
    with torch.no_grad():
        found = encoder(image)
        values, expected = image[:, :3], []
        for number, layer in enumerate(reference):
            values = layer(values)
            if number in (1, 3, 6, 13, 17):
                expected.append(values)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other)
