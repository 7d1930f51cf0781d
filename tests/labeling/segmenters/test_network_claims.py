"""Networks whose axes, types, ranges or files are not what a declaration would have them."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from pydantic import ValidationError

from configs.errors import ConfigError, ModelOutputWrong, WeightsCorrupt
from configs.segmenters import CustomNetworkBlock
from labeling.comparison.iou import union_iou
from labeling.segmenters.custom_network import CustomNetworkSegmenter, sample_image
from labeling.segmenters.network_files import check_model_hash, external_files
from labeling.segmenters.network_output import Levels, read_maps, split_channels
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.video.images import read_image
from tests.labeling.segmenters.images import make_frame, noise
from tests.labeling.segmenters.tiny_networks import save_onnx, save_quantized_sigmoid

HW = (12, 20)
RED = {"first": np.array([0]), "last": np.array([1]), "axis": np.array([1])}


def opened(path: Path, **options: Any) -> CustomNetworkSegmenter:
    return CustomNetworkSegmenter(
        CustomNetworkBlock(**{"kind": "onnx", "path": path, "input_hw": HW, **options})
    )


def segment(rgb: RgbImage, path: Path, **options: Any) -> list[Instance]:
    ((*instances,),) = opened(path, **options).segment([make_frame(rgb)])
    return instances


def block(**options: Any) -> CustomNetworkBlock:
    return CustomNetworkBlock(**{"kind": "onnx", "path": Path("m.onnx"), "input_hw": HW, **options})


@pytest.fixture
def bytes_in(tmp_path: Path) -> Path:
    """Whole numbers in; a map of the pixels whose red is above 200 out."""
    return save_onnx(
        tmp_path / "bytes.onnx",
        [
            helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Slice", ["numbers", "first", "last", "axis"], ["red"]),
            helper.make_node("Greater", ["red", "limit"], ["above"]),
            helper.make_node("Cast", ["above"], ["map"], to=TensorProto.FLOAT),
        ],
        input_shape=[1, 3, *HW],
        input_type=TensorProto.UINT8,
        outputs=[("map", TensorProto.FLOAT)],
        constants={**RED, "limit": np.array([200.0], dtype=np.float32)},
    )


def test_a_network_of_bytes_gets_pixels_where_no_scale_is_declared(bytes_in: Path) -> None:
    rgb = noise(*HW)
    (instance,) = segment(rgb, bytes_in)
    assert (instance.mask.to_array() == (rgb[:, :, 0] > 200)).all()


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ({"scale": 1 / 255}, 2),
        ({"mean": (0.5,) * 3, "std": (0.5,) * 3, "scale": 1 / 255}, 2),
        ({"scale": 0.05}, 14),
        ({"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}, 4),
        ({"scale": 4}, 256),
    ],
)
def test_values_that_fall_on_a_few_levels_are_an_error(
    bytes_in: Path, options: dict[str, Any], levels: int
) -> None:
    with pytest.raises(
        ConfigError, match=rf"its input is uint8, .* which are {levels} levels, .*: remove scale"
    ):
        opened(bytes_in, **options)


def test_a_quantized_network_of_pixels_gets_pixels(tmp_path: Path) -> None:
    path = save_quantized_sigmoid(tmp_path / "pixels.tflite", HW, scale=1.0, zero=-128)
    found = opened(path, kind="litert", person_class=1, mask_threshold=0.9)
    assert found.report.input_text == "1x12x20x3 int8 from 0 to 255"
    with pytest.raises(ConfigError, match="which are 2 levels"):
        opened(path, kind="litert", scale=1 / 255)


def bytes_out(folder: Path, kind: int = TensorProto.UINT8, factor: float = 255) -> Path:
    """Return the red channel times a factor, as whole numbers."""
    return save_onnx(
        folder / "out.onnx",
        [
            helper.make_node("Slice", ["image", "first", "last", "axis"], ["red"]),
            helper.make_node("Mul", ["red", "factor"], ["scaled"]),
            helper.make_node("Cast", ["scaled"], ["map"], to=kind),
        ],
        input_shape=[1, 3, *HW],
        outputs=[("map", kind)],
        constants={**RED, "factor": np.array([factor], dtype=np.float32)},
    )


def test_probabilities_that_are_declared_logits_are_an_error() -> None:
    shares = np.full((1, 1, *HW), 0.01, dtype=np.float32)
    shares[..., :5] = 0.97
    with pytest.raises(ModelOutputWrong, match="as probabilities do; declare output: probability"):
        read_maps(shares, block(output="logits"))
    weak = np.linspace(0, 0.9, shares.size, dtype=np.float32).reshape(shares.shape)
    assert read_maps(weak, block(output="logits"))["person"].min() >= 0.5


def test_a_file_of_another_kind_says_which(tmp_path: Path) -> None:
    (tmp_path / "own.tflite").write_bytes(b"no network")
    with pytest.raises(ConfigError, match=r"kind: litert is for \.tflite files"):
        opened(tmp_path / "own.tflite")


def test_whole_numbers_of_an_output_are_scaled_by_their_range(tmp_path: Path) -> None:
    rgb = noise(*HW)
    for kind, factor in ((TensorProto.UINT8, 255), (TensorProto.UINT16, 65535), (TensorProto.INT8, 127)):
        (instance,) = segment(rgb, bytes_out(tmp_path, kind, factor))
        assert (instance.mask.to_array() != (rgb[:, :, 0] > 127)).mean() < 0.01
    (instance,) = segment(rgb, bytes_out(tmp_path, TensorProto.UINT8, 1.6))  # a mask of 0 and 1
    assert (instance.mask.to_array() == (rgb[:, :, 0] >= 160)).all()
    (instance,) = segment(rgb, bytes_out(tmp_path, TensorProto.FLOAT, 255), output_scale=1 / 255)
    assert (instance.mask.to_array() == (rgb[:, :, 0] > 127)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "logits"}, "the output is uint8, whose scale the file does not say"),
        ({"output": "class_map"}, "one image has .* different values"),
        ({"output_scale": 1.0}, "range from .*; if 255 is certain, set output_scale"),
    ],
)
def test_a_declaration_that_whole_numbers_contradict_is_refused_when_the_network_is_loaded(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelOutputWrong, match=message):
        opened(bytes_out(tmp_path), **options)


def test_signed_levels_are_moved_and_fractions_are_no_classes() -> None:
    signed = np.array([[[[-128, 0, 127, 1]]]], dtype=np.int8)
    levels = Levels.of(signed, block(input_hw=(1, 4)))
    found = read_maps(signed, block(input_hw=(1, 4)), levels)["person"][0]
    assert found.tolist() == pytest.approx([0.0, 128 / 255, 1.0, 129 / 255])
    with pytest.raises(ModelOutputWrong, match="no whole numbers"):
        read_maps(np.full(HW, 0.3, dtype=np.float32), block(output="class_map"))


@pytest.mark.parametrize("layout", [None, "nchw"])
@pytest.mark.parametrize(
    ("shape", "first"),
    [((2, 12, 20), True), ((12, 20, 2), False), ((2, 6, 10), True), ((3, 5, 21), False), ((12, 6, 10), True)],
)
def test_the_axes_in_proportion_to_the_input_are_the_images(
    shape: tuple[int, ...], first: bool, layout: Any
) -> None:
    values: NDArray[np.float32] = np.random.default_rng(1).random((1, *shape), dtype=np.float32)
    found = split_channels(values, block(layout=layout))
    assert found.shape == (shape if first else (shape[2], *shape[:2]))


def test_an_output_without_an_image_is_refused() -> None:
    with pytest.raises(ModelOutputWrong, match="no two neighboring axes"):
        split_channels(np.zeros((1, 20, 12, 40), dtype=np.float32), block())


def save_external(folder: Path, gain: float) -> Path:
    """Save a network whose weights are in a file of their own."""
    folder.mkdir(exist_ok=True)
    weights = onnx.numpy_helper.from_array(np.full((1, 3, 1, 1), gain, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["map"])],
        "external",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *HW])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, None)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = folder / "net.onnx"
    name = "weights-" + "x" * 150 + ".data"
    (folder / name).unlink(missing_ok=True)
    onnx.save(model, str(path), save_as_external_data=True, location=name, size_threshold=0)
    return path


def test_external_weights_are_part_of_the_hash(tmp_path: Path) -> None:
    path, other = save_external(tmp_path / "a", 0.1), save_external(tmp_path / "b", 0.2)
    assert path.read_bytes() == other.read_bytes()
    assert [one.suffix for one in external_files(path)] == [".data"]
    hashes = [opened(one).card.weights_sha256 for one in (path, other)]
    assert hashes[0] != hashes[1]
    assert opened(path, sha256=hashes[0]).card.weights_sha256 == hashes[0]
    with pytest.raises(WeightsCorrupt, match=rf"\.data have together the SHA-256 {hashes[1]}"):
        opened(other, sha256=hashes[0])
    external_files(path)[0].unlink()
    with pytest.raises(ConfigError, match=r"cannot be loaded as kind: onnx: .*; check `kind` and `path`"):
        opened(path)


def test_the_sample_has_all_levels() -> None:
    rgb = sample_image(HW)
    assert (rgb.shape, rgb.min(), rgb.max()) == ((*HW, 3), 0, 255)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "options", "least_iou"),
    [
        ("13-onnx-uint8-input/u8.onnx", {}, 0.93),
        ("14-onnx-uint8-output/q.onnx", {"scale": 1}, 0.93),
        ("15-onnx-nchw-in-nhwc-out/tf.onnx", {"person_class": 1}, 0.93),
        # a sigmoid of each pixel: the level parts the red person from the room
        ("18-litert-dynamic-shape/dyn.tflite", {"kind": "litert", "mask_threshold": 0.69}, 0.75),
        ("18-litert-dynamic-shape/batch.tflite", {"kind": "litert", "mask_threshold": 0.69}, 0.75),
    ],
)
def test_networks_of_other_tools_see_the_person(
    file: str, options: dict[str, Any], least_iou: float, shared: Path
) -> None:
    path = shared / "cases" / file
    image = read_image(path.parent / "pictures" / "p0.jpg")
    exact = Mask.from_array(read_image(path.parent / "exact" / "p0.png")[:, :, 0] > 0)
    (found,) = segment(image, path, input_hw=(120, 160), **options)
    assert union_iou(found.mask, exact) > least_iou


@pytest.mark.shared
def test_integers_whose_scale_is_unknown_are_no_logits(shared: Path) -> None:
    with pytest.raises(ModelOutputWrong, match="whose scale the file does not say"):
        opened(
            shared / "cases" / "14-onnx-uint8-output" / "q.onnx",
            input_hw=(120, 160),
            scale=1,
            output="logits",
        )


@pytest.mark.parametrize(
    ("options", "output", "message"),
    [
        ({}, np.zeros((1, 2, *HW)), "which of its 2 channels is people"),
        ({}, np.full((1, 21, *HW), 1 / 21), "which of its 21 channels is people"),
        ({"output": "logits"}, np.zeros((1, 21, *HW)), "which of its 21 channels is people"),
        ({"output": "class_map"}, np.zeros((1, *HW)), "the value of people in its map"),
    ],
)
def test_the_default_class_is_refused_where_it_is_the_background(
    options: dict[str, Any], output: NDArray[Any], message: str
) -> None:
    with pytest.raises(ModelOutputWrong, match=message):
        read_maps(output, block(**options))
    assert list(read_maps(output, block(**options, person_class=1))) == ["person"]


def test_logits_of_several_classes_exclude_each_other() -> None:
    logits = np.zeros((1, 3, *HW), dtype=np.float32)
    logits[:, 0], logits[:, 2] = 9, 3
    assert read_maps(logits, block(output="logits", person_class=2))["person"].max() < 0.01
    assert read_maps(logits, block(output="logits", person_class=2, softmax=False))["person"].min() > 0.9


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (
            np.full((1, 1, *HW), 255.0),
            {},
            "as levels of gray do; declare output: probability and output_scale",
        ),
        (np.log(np.full((1, 2, *HW), 0.5)), {"softmax": False, "person_class": 1}, "declare softmax: true"),
        (np.zeros((1, HW[0] * HW[1])), {}, "no two neighboring axes have the proportion of the input"),
    ],
)
def test_values_that_are_no_logits_are_refused(
    values: NDArray[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelOutputWrong, match=message):
        read_maps(values, block(output="logits", **options))


def test_a_mean_in_levels_gets_levels(tmp_path: Path) -> None:
    path = bytes_out(tmp_path, TensorProto.FLOAT, factor=1 / 128)
    found = opened(path, mean=(127.5,) * 3, std=(127.5,) * 3, output="logits")
    assert found.report.input_text == "1x3x12x20 float32 from -1 to 1"
    with pytest.raises(ValidationError, match="greater than 0"):
        block(std=(0, 1, 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "it is empty"), (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull")],
)
def test_a_file_without_a_network_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "own.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path / "own.onnx")


@pytest.mark.parametrize("shape", [(1, 1, 20, 12), (20, 12), (1, 20, 12, 1)])
def test_a_map_with_swapped_sides_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelOutputWrong, match=r"20 rows and 12 columns .* sides are swapped"):
        read_maps(np.zeros(shape), block(input_hw=(12, 20)))


@pytest.mark.shared
def test_other_weights_beside_the_same_file_are_another_model(shared: Path, tmp_path: Path) -> None:
    case = shared / "cases" / "17-onnx-external-data"
    hashes = set()
    for name in ("old", "new"):
        shutil.copytree(case / name, tmp_path / name)
        hashes.add(check_model_hash("onnx", tmp_path / name / "student.onnx", ""))
    assert len(hashes) == 2


@pytest.mark.parametrize("name", ["pha", "second"])
def test_the_alpha_of_a_matting_network_is_found_behind_its_foreground(tmp_path: Path, name: str) -> None:
    nodes = [
        helper.make_node("Identity", ["image"], ["fgr"]),
        helper.make_node("Slice", ["image", "first", "last", "axis"], ["red"]),
        helper.make_node("Greater", ["red", "limit"], ["above"]),
        helper.make_node("Cast", ["above"], [name], to=TensorProto.FLOAT),
    ]
    path = save_onnx(
        tmp_path / "matting.onnx",
        nodes,
        input_shape=[1, 3, *HW],
        outputs=[("fgr", TensorProto.FLOAT), (name, TensorProto.FLOAT)],
        constants={**RED, "limit": np.array([0.9], dtype=np.float32)},
    )
    rgb = noise(*HW)
    (found,) = segment(rgb, path)
    assert (found.mask.to_array() == (rgb[..., 0] > 0.9 * 255)).all()
    assert '"output_index":1' in opened(path).card.settings
    (foreground,) = segment(rgb, path, output_index=0)
    assert foreground.mask != found.mask


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_network_with_one_channel_sees_gray(tmp_path: Path, layout: str) -> None:
    shape = [1, 1, *HW] if layout == "nchw" else [1, *HW, 1]
    path = save_onnx(
        tmp_path / "gray.onnx",
        [helper.make_node("Identity", ["image"], ["map"])],
        input_shape=shape,
        outputs=[("map", TensorProto.FLOAT)],
    )
    rgb = noise(*HW)
    (found,) = segment(rgb, path, input_hw=None)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    assert (found.mask.to_array() == (luma > 127.5)).all()
    assert "1x1x" in opened(path).report.input_text or layout == "nhwc"


@pytest.mark.parametrize("channels", [2, 4])
def test_a_network_of_other_channels_is_refused(tmp_path: Path, channels: int) -> None:
    path = save_onnx(
        tmp_path / "depth.onnx",
        [helper.make_node("Identity", ["image"], ["map"])],
        input_shape=[1, channels, *HW],
        outputs=[("map", TensorProto.FLOAT)],
    )
    with pytest.raises(ConfigError, match=rf"takes images of 1x{channels}x12x20: export it with 3 channels"):
        opened(path)
