"""Convolutions on blocks of pixels give the values of the convolutions that they replace."""

from typing import Literal

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from labeling.training.block_convolution import BlockConvolution, with_block_convolutions  # noqa: E402


@pytest.mark.parametrize(("size", "mode", "bias"), [(7, "reflect", True), (5, "zeros", False)])
def test_the_values_are_those_of_the_convolution(
    size: int, mode: Literal["reflect", "zeros"], bias: bool
) -> None:
    torch.manual_seed(1)
    plain = nn.Conv2d(5, 3, size, padding=size // 2, padding_mode=mode, bias=bias)
    image = torch.randn(2, 5, 16, 24)
    with torch.no_grad():
        assert torch.allclose(BlockConvolution(plain)(image), plain(image), atol=1e-5)


def test_wide_convolutions_with_few_outputs_are_replaced_in_a_copy() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 7, padding=3), nn.Conv2d(16, 4, 3, padding=1), nn.Conv2d(4, 1, 7, padding=3)
    )
    made = with_block_convolutions(network)
    assert [type(layer) for layer in made.children()] == [nn.Conv2d, nn.Conv2d, BlockConvolution]
    assert all(type(layer) is nn.Conv2d for layer in network)
