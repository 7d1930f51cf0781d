"""A user's own network: tiny ones whose answers are known, in every format."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from configs.errors import ConfigError, ModelOutputWrong, WeightsCorrupt, WeightsMissing
from configs.segmenters import CustomNetworkBlock, SelfieBlock
from labeling.segmenters.custom_network import CustomNetworkSegmenter, prepare_input
from labeling.segmenters.network_files import dequantize, quantize
from labeling.segmenters.network_output import read_maps
from labeling.segmenters.selfie import SelfieSegmenter
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from tests.labeling.segmenters.images import make_frame, noise, read_pennfudan
from tests.labeling.segmenters.tiny_networks import save_onnx, save_quantized_sigmoid

HW = (12, 20)
FIRST_CHANNEL = {"first": np.array([0]), "last": np.array([1]), "axis": np.array([1])}


def segment(rgb: RgbImage, **options: Any) -> list[Instance]:
    block = CustomNetworkBlock(**{"kind": "onnx", "input_hw": HW, **options})
    ((*instances,),) = CustomNetworkSegmenter(block).segment([make_frame(rgb)])
    return instances


@pytest.fixture(scope="module")
def first_channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX, float, NCHW: its map is the first channel as it comes in."""
    return save_onnx(
        tmp_path_factory.mktemp("onnx") / "first.onnx",
        [helper.make_node("Slice", ["image", "first", "last", "axis"], ["map"])],
        input_shape=[1, 3, *HW],
        outputs=[("map", TensorProto.FLOAT)],
        constants=FIRST_CHANNEL,
    )


def test_the_map_of_a_network_is_the_mask(first_channel: Path) -> None:
    rgb = noise(*HW)
    (instance,) = segment(rgb, path=first_channel)
    red = rgb[:, :, 0]
    assert (instance.mask.to_array() == (red > 127)).all()
    assert instance.score == pytest.approx(red[red > 127].mean() / 255, rel=1e-5)
    assert instance.stability == pytest.approx((red > 191).sum() / (red > 127).sum())


def test_the_size_of_the_input_is_read_from_the_file_where_it_is_fixed(
    first_channel: Path, tmp_path: Path
) -> None:
    rgb = noise(48, 60)
    assert segment(rgb, path=first_channel, input_hw=None) == segment(rgb, path=first_channel)
    of_any_size = save_onnx(
        tmp_path / "any.onnx",
        [helper.make_node("Slice", ["image", "first", "last", "axis"], ["map"])],
        input_shape=[1, 3, "height", "width"],
        outputs=[("map", TensorProto.FLOAT)],
        constants=FIRST_CHANNEL,
    )
    with pytest.raises(
        ConfigError, match=r"any\.onnx takes images of any size.*add input_hw: \[HEIGHT, WIDTH\]"
    ):
        segment(rgb, path=of_any_size, input_hw=None)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "size_hw"),
    [("selfie_segmentation.tflite", (256, 256)), ("selfie_segmentation_landscape.tflite", (144, 256))],
)
def test_a_litert_file_names_its_size(shared: Path, file: str, size_hw: tuple[int, int]) -> None:
    block = CustomNetworkBlock(kind="litert", path=shared / "weights" / "mediapipe" / file)
    height, width = size_hw
    assert f"input 1x{height}x{width}x3" in CustomNetworkSegmenter(block).describe()
    dynamic = shared / "cases" / "18-litert-dynamic-shape" / "dyn.tflite"
    with pytest.raises(ConfigError, match="add input_hw"):
        CustomNetworkSegmenter(CustomNetworkBlock(kind="litert", path=dynamic))


def test_bgr_gives_the_network_blue_first(first_channel: Path) -> None:
    rgb = noise(*HW)
    (instance,) = segment(rgb, path=first_channel, channels="bgr")
    assert (instance.mask.to_array() == (rgb[:, :, 2] > 127)).all()


def test_scale_mean_and_std_are_applied_in_this_order(first_channel: Path) -> None:
    rgb = noise(*HW)
    (instance,) = segment(
        rgb, path=first_channel, scale=0.01, mean=(1.0, 0.0, 0.0), std=(0.5, 1.0, 1.0), output="logits"
    )
    assert (instance.mask.to_array() == ((rgb[:, :, 0] * 0.01 - 1.0) / 0.5 > 0)).all()


def test_the_mask_has_the_frames_size(first_channel: Path) -> None:
    rgb = np.zeros((120, 200, 3), dtype=np.uint8)
    rgb[30:90, 100:160, 0] = 255
    (instance,) = segment(rgb, path=first_channel)
    assert instance.mask.size_hw == (120, 200)
    differs = instance.mask.to_array() != (rgb[:, :, 0] > 0)
    assert differs.mean() < 0.005  # bilinear enlargement rounds the corners


def test_connected_components_become_instances_and_specks_are_dropped(first_channel: Path) -> None:
    rgb = np.zeros((*HW, 3), dtype=np.uint8)
    rgb[1:5, 1:5, 0] = rgb[6:11, 10:18, 0] = 255
    rgb[0, 19, 0] = 255
    found = segment(rgb, path=first_channel, connected_components=True, min_area=0.01)
    assert [one.box_xywh for one in found] == [(10, 6, 8, 5), (1, 1, 4, 4)]
    (together,) = segment(rgb, path=first_channel)
    assert together.mask.area_px == 16 + 40 + 1


def test_an_empty_map_has_no_instance(first_channel: Path) -> None:
    black = np.zeros((*HW, 3), dtype=np.uint8)
    assert segment(black, path=first_channel, min_area=0.0) == []


def test_a_network_of_bytes_gets_the_pixels_unchanged(tmp_path: Path) -> None:
    path = save_onnx(
        tmp_path / "bytes.onnx",
        [
            helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Slice", ["numbers", "first", "last", "axis"], ["red"]),
            helper.make_node("Greater", ["red", "limit"], ["above"]),
            helper.make_node("Cast", ["above"], ["map"], to=TensorProto.FLOAT),
        ],
        input_shape=[1, *HW, 3],
        input_type=TensorProto.UINT8,
        outputs=[("map", TensorProto.FLOAT)],
        constants={**FIRST_CHANNEL, "axis": np.array([3]), "limit": np.array([200.0], dtype=np.float32)},
    )
    rgb = noise(*HW)
    (instance,) = segment(rgb, path=path, layout="nhwc", scale=1)
    assert (instance.mask.to_array() == (rgb[:, :, 0] > 200)).all()


def test_a_network_of_signed_bytes_gets_the_pixels_centered(tmp_path: Path) -> None:
    path = save_onnx(
        tmp_path / "signed.onnx",
        [helper.make_node("Cast", ["image"], ["map"], to=TensorProto.FLOAT)],
        input_shape=["batch", 3, "height", "width"],
        input_type=TensorProto.INT8,
        outputs=[("map", TensorProto.FLOAT)],
    )
    rgb = noise(*HW)
    (instance,) = segment(
        rgb, path=path, scale=1, mean=(128, 128, 128), output="logits", softmax=False, person_class=1
    )
    assert (instance.mask.to_array() == (rgb[:, :, 1] > 128)).all()


@pytest.fixture(scope="module")
def three_outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image itself as logits of three classes, the likeliest class, and NaN."""
    return save_onnx(
        tmp_path_factory.mktemp("onnx") / "three.onnx",
        [
            helper.make_node("Identity", ["image"], ["logits"]),
            helper.make_node("ArgMax", ["image"], ["classes"], axis=1, keepdims=0),
            helper.make_node("Log", ["minus_one"], ["nan"]),
        ],
        input_shape=[1, 3, *HW],
        outputs=[("logits", TensorProto.FLOAT), ("classes", TensorProto.INT64), ("nan", TensorProto.FLOAT)],
        constants={"minus_one": np.full((1, *HW), -1, dtype=np.float32)},
    )


def test_softmax_is_taken_over_the_classes(three_outputs: Path) -> None:
    rgb = noise(*HW)
    (instance,) = segment(
        rgb,
        path=three_outputs,
        scale=1 / 20,
        output="logits",
        softmax=True,
        person_class=2,
        mask_threshold=0.6,
    )
    powers = np.exp(rgb / 20)
    probability = powers[:, :, 2] / powers.sum(axis=2)
    assert (instance.mask.to_array() == (probability > 0.6)).all()
    assert instance.score == pytest.approx(probability[probability > 0.6].mean(), rel=1e-4)


def test_a_class_map_names_the_person(three_outputs: Path) -> None:
    rgb = noise(*HW)
    (instance,) = segment(rgb, path=three_outputs, output="class_map", output_index=1, person_class=2)
    assert (instance.mask.to_array() == (rgb.argmax(axis=2) == 2)).all()
    assert instance.score == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 1, "person_class": 0}, r"range from .* to 25\d; .* declare output: logits"),
        ({"output_index": 3}, "output_index is 3, but the model has 3 outputs"),
        ({"output_index": 2}, "240 NaN"),
        ({"person_class": 3}, r"person_class is 3, .* \(1, 3, 12, 20\) .* has 3 channels"),
        ({"output": "class_map"}, "class_map has one channel"),
    ],
)
def test_an_output_other_than_declared_is_an_error_that_names_both(
    three_outputs: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelOutputWrong, match=message):
        segment(noise(*HW), path=three_outputs, **options)


def test_softmax_over_one_channel_is_an_error() -> None:
    block = CustomNetworkBlock(kind="onnx", path=Path("one.onnx"), input_hw=HW, output="logits", softmax=True)
    with pytest.raises(ModelOutputWrong, match="softmax over one channel"):
        read_maps(np.zeros((1, 1, *HW), dtype=np.float32), block)


@pytest.mark.parametrize("shape", [HW, (1, *HW), (1, 1, *HW), (*HW, 1), (1, *HW, 1)])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_map_of_one_channel_is_read_in_any_arrangement(shape: tuple[int, ...], layout: str) -> None:
    values = np.random.default_rng(1).random(HW, dtype=np.float32)
    block = CustomNetworkBlock(kind="onnx", path=Path("m.onnx"), input_hw=HW, layout=layout)
    assert (read_maps(values.reshape(shape), block)["person"] == values).all()


def test_channels_last_maps_are_read_by_their_layout() -> None:
    values = np.random.default_rng(1).random((1, *HW, 4), dtype=np.float32)
    block = CustomNetworkBlock(kind="onnx", path=Path("m.onnx"), input_hw=HW, layout="nhwc", person_class=3)
    assert (read_maps(values, block)["person"] == values[0, :, :, 3]).all()


def test_an_input_other_than_declared_is_an_error_that_names_both(first_channel: Path) -> None:
    with pytest.raises(ConfigError, match="1x3x24x20, the model requires 1x3x12x20"):
        segment(noise(*HW), path=first_channel, input_hw=(24, 20))
    with pytest.raises(ConfigError, match="1x12x20x3, the model requires 1x3x12x20"):
        segment(noise(*HW), path=first_channel, layout="nhwc")


def test_the_declared_hash_is_checked_and_stored(first_channel: Path) -> None:
    sha256 = hashlib.sha256(first_channel.read_bytes()).hexdigest()
    block = CustomNetworkBlock(kind="onnx", path=first_channel, input_hw=HW, sha256=sha256)
    card = CustomNetworkSegmenter(block).card
    assert (card.kind, card.name, card.weights_sha256) == ("onnx", "first.onnx", sha256)
    assert str(first_channel.parent) not in card.settings
    with pytest.raises(WeightsCorrupt, match=sha256):
        segment(noise(*HW), path=first_channel, sha256="0" * 64)


@pytest.mark.parametrize("kind", ["onnx", "litert", "torchscript"])
def test_a_file_that_is_no_network_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"not a network")
    with pytest.raises(ConfigError, match=f"broken cannot be loaded as kind: {kind}:"):
        segment(noise(*HW), kind=kind, path=path)
    with pytest.raises(WeightsMissing, match=r"no file at .*absent"):
        segment(noise(*HW), kind=kind, path=tmp_path / "absent")


class TwoMaps(torch.nn.Module):
    """The green channel and twice the red one, of images of one size only."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = image[:, 1].reshape(1, 12, 20)
        return flat, image[:, :1] * 2


@pytest.fixture
def two_maps(tmp_path: Path) -> Path:
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.script(TwoMaps()).save(str(tmp_path / "two.pt"))  # type: ignore[no-untyped-call]
    return tmp_path / "two.pt"


def test_a_scripted_module_is_run(two_maps: Path) -> None:
    rgb = noise(*HW)
    (green,) = segment(rgb, kind="torchscript", path=two_maps)
    assert (green.mask.to_array() == (rgb[:, :, 1] > 127)).all()
    (red,) = segment(rgb, kind="torchscript", path=two_maps, output_index=1, scale=1 / 510)
    assert (red.mask.to_array() == (rgb[:, :, 0] > 127)).all()


def test_a_scripted_module_that_fails_names_the_input_size(two_maps: Path) -> None:
    with pytest.raises(ModelOutputWrong, match=r"two\.pt failed on an input of shape \(1, 3, 8, 8\)"):
        segment(noise(*HW), kind="torchscript", path=two_maps, input_hw=(8, 8))


def test_a_quantized_litert_network_gets_quantized_values(tmp_path: Path) -> None:
    path = save_quantized_sigmoid(tmp_path / "int8.tflite", HW, scale=0.05, zero=10)
    rgb = noise(*HW)
    (instance,) = segment(
        rgb,
        kind="litert",
        path=path,
        layout="nhwc",
        scale=0.05,
        mean=(6, 6, 6),
        person_class=1,
        mask_threshold=0.6,
    )
    value = rgb[:, :, 1] * 0.05 - 6  # exactly one level of the input per level of the image
    seen = (np.clip(np.rint(value / 0.05) + 10, -128, 127) - 10) * 0.05
    probability = 1 / (1 + np.exp(-seen))
    stability = np.abs(probability - 0.6) > 1 / 256
    assert stability.mean() > 0.95
    assert (instance.mask.to_array() == (probability > 0.6))[stability].all()
    above = probability[instance.mask.to_array()]
    assert instance.score == pytest.approx(above.mean(), abs=1 / 256)


def test_quantization_rounds_and_clips() -> None:
    values = np.array([-1.0, 0.0, 0.26, 0.5, 9.0], dtype=np.float32)
    assert quantize(values, np.dtype("int8"), 0.5, -3).tolist() == [-5, -3, -2, -2, 15]
    assert quantize(values, np.dtype("uint8"), 0.01, 128).tolist() == [28, 128, 154, 178, 255]
    assert quantize(values, np.dtype("uint8"), 0.0, 0).tolist() == [0, 0, 0, 0, 9]
    levels = np.array([-128, 0, 127], dtype=np.int8)
    assert dequantize(levels, 0.5, -128).tolist() == [0.0, 64.0, 127.5]
    assert dequantize(levels, 0.0, 0).tolist() == [-128.0, 0.0, 127.0]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_the_input_is_what_opencv_prepares(layout: str) -> None:
    block = CustomNetworkBlock(
        kind="onnx",
        path=Path("m.onnx"),
        input_hw=HW,
        channels="bgr",
        layout=layout,
        mean=(0.4, 0.4, 0.4),
    )
    rgb = noise(*HW)
    expected = cv2.dnn.blobFromImage(rgb, 1 / 255, mean=(102, 102, 102), swapRB=True)
    if layout == "nhwc":
        expected = expected.transpose(0, 2, 3, 1)
    assert np.allclose(prepare_input(rgb, block), expected, atol=1e-6)


@pytest.mark.shared
def test_the_selfie_network_as_a_custom_network_gives_the_same(shared: Path) -> None:
    frames = [frame for frame, _ in read_pennfudan(shared, every=25)]
    path = shared / "weights" / "mediapipe" / "selfie_segmentation.tflite"
    block = CustomNetworkBlock(kind="litert", path=path, input_hw=(256, 256), layout="nhwc")
    known = SelfieSegmenter(SelfieBlock(), weights_dir=shared / "weights")
    assert CustomNetworkSegmenter(block).segment(frames) == known.segment(frames)


@pytest.fixture(scope="module")
def three_channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX, float, NCHW: its maps are the channels as they come in."""
    return save_onnx(
        tmp_path_factory.mktemp("onnx") / "channels.onnx",
        [helper.make_node("Identity", ["image"], ["map"])],
        input_shape=[1, 3, *HW],
        outputs=[("map", TensorProto.FLOAT)],
    )


def test_each_class_is_an_instance_of_its_category(three_channels: Path) -> None:
    rgb = noise(*HW)
    found = segment(rgb, path=three_channels, classes={0: "person", 2: "cat"})
    assert [one.category for one in found] == ["person", "cat"]
    assert (found[0].mask.to_array() == (rgb[:, :, 0] > 127)).all()
    assert (found[1].mask.to_array() == (rgb[:, :, 2] > 127)).all()


def test_several_classes_may_be_one_category(three_channels: Path) -> None:
    rgb = noise(*HW)
    (vehicle,) = segment(rgb, path=three_channels, classes={1: "vehicle", 2: "vehicle"})
    assert (vehicle.mask.to_array() == (rgb[:, :, 1:] > 127).any(axis=2)).all()
    assert vehicle.category == "vehicle"


def test_the_values_of_a_class_map_are_classes() -> None:
    block = CustomNetworkBlock(
        kind="onnx", path=Path("x"), input_hw=(2, 3), output="class_map", classes={15: "person", 8: "cat"}
    )
    maps = read_maps(np.array([[[15, 8, 0], [15, 15, 8]]], np.int64), block)
    assert maps["person"].tolist() == [[1, 0, 0], [1, 1, 0]]
    assert maps["cat"].tolist() == [[0, 1, 0], [0, 0, 1]]


def test_a_class_that_the_network_does_not_have_is_named(three_channels: Path) -> None:
    with pytest.raises(ModelOutputWrong, match=r"classes has 8, the output .* has 3 channels"):
        segment(noise(*HW), path=three_channels, classes={0: "person", 8: "cat"})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"classes": {0: "person"}, "person_class": 1}, "exclude each other"),
        ({"classes": {0: "cat"}, "refine": ["guided_filter"]}, "refiners know people only"),
        ({"classes": {-1: "cat"}}, "greater than or equal to 0"),
        ({"classes": {0: " cat"}}, "match pattern"),
    ],
)
def test_classes_that_contradict_other_settings_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CustomNetworkBlock(kind="onnx", path=Path("x"), input_hw=HW, **options)
