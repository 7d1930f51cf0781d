"""The factory: each kind of block gives its segmenter, or an error that says what to install."""

import sys
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

from configs.errors import ConfigError, ExtraMissing, WeightsMissing
from configs.segmenters import SegmenterBlock
from labeling.segmenters.factory import make_segmenter, resolve_device
from labeling.segmenters.protocol import Segmenter
from tests.labeling.segmenters.images import make_frame, noise

BLOCK: TypeAdapter[SegmenterBlock] = TypeAdapter(SegmenterBlock)


def make(block: object, weights_dir: Path | None = None, device: str = "auto") -> Segmenter:
    return make_segmenter(BLOCK.validate_python(block), weights_dir=weights_dir, device=device, batch=2)


@pytest.mark.parametrize("block", ["background:mog2", "background"])
def test_a_block_without_weights_needs_none(block: str) -> None:
    made = make(block)
    assert isinstance(made, Segmenter)
    assert made.card.kind == "background"


@pytest.mark.slow
def test_torchvision_is_made_with_its_options() -> None:
    made = make({"kind": "torchvision", "model": "lraspp_mobilenet_v3_large", "weights": "random"})
    assert isinstance(made, Segmenter)
    assert made.card.name == "lraspp_mobilenet_v3_large"
    assert len(made.segment([make_frame(noise(20, 20))] * 3)) == 3


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["lite", "selfie"])
def test_small_networks_are_made_from_the_weights_folder(shared: Path, kind: str) -> None:
    made = make(kind, shared / "weights")
    assert isinstance(made, Segmenter)
    assert made.card.kind == kind


@pytest.mark.parametrize(
    ("kind", "library", "extra"),
    [
        ("torchvision", "torchvision", "torch"),
        ("torchvision", "torch", "torch"),
        ("lite", "onnxruntime", "lite"),
        ("lite", "ai_edge_litert", "lite"),
        ("selfie", "ai_edge_litert", "lite"),
        ("onnx", "onnxruntime", "lite"),
        ("litert", "ai_edge_litert", "lite"),
        ("torchscript", "torch", "torch"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, kind: str, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # what Python itself takes for "not installed"
    own = {"path": "m", "input_hw": [8, 8]} if kind in ("onnx", "litert", "torchscript") else {}
    with pytest.raises(ExtraMissing, match=rf"{library}.*pip install 'maskmill\[{extra}\]'"):
        make({"kind": kind, **own})


def test_a_missing_network_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"absent\.onnx"):
        make({"kind": "onnx", "path": tmp_path / "absent.onnx", "input_hw": [8, 8]})


def test_the_device_is_what_torch_has() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match=r"'gpu'.*auto, cpu or cuda"):
        resolve_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_device_is_an_error() -> None:
    with pytest.raises(ConfigError, match="cuda is set"):
        make({"kind": "torchvision", "weights": "random"}, device="cuda")
