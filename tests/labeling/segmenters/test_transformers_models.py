"""Networks of `transformers`: tiny ones of each family with random weights, and one that learned a color."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import ConfigError, ModelError, WeightsCorrupt, WeightsMissing
from configs.segmenters import LiteBlock, TransformersBlock
from labeling.refinement.factory import make_refiner
from labeling.refinement.protocol import refiners_in
from labeling.segmenters.factory import make_segmenter
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, iou_matrix
from tests.fakes import transformers_models as fakes

pytestmark = [
    pytest.mark.requires("torch", "torch"),
    pytest.mark.requires("torchvision", "torchvision"),
    pytest.mark.requires("transformers", "transformers"),
    pytest.mark.slow,
    # of transformers, in its own code
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]
SIZE_HW = (90, 160)
FAMILIES: dict[str, Callable[[Path], Path]] = {
    "mask2former": fakes.save_mask2former,
    "oneformer": fakes.save_oneformer,
    "eomt": fakes.save_eomt,
    "rf_detr": fakes.save_rf_detr,
    "segformer": fakes.save_segformer,
    "sam3": fakes.save_sam3,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each family."""
    folder = tmp_path_factory.mktemp("models")
    return {name: save(folder / name) for name, save in FAMILIES.items()}


def segment(block: TransformersBlock, images: list[RgbImage], *, batch: int = 2) -> list[list[Instance]]:
    segmenter = make_segmenter(block, weights_dir=None, device="cpu", batch=batch)
    return segmenter.segment([Frame("v", i, rgb) for i, rgb in enumerate(images)])


def noise(*, size_hw: tuple[int, int] = SIZE_HW, seed: int = 0) -> RgbImage:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), dtype=np.uint8)
    repeated = coarse.repeat(-(-size_hw[0] // 9), axis=0).repeat(-(-size_hw[1] // 16), axis=1)
    return np.ascontiguousarray(repeated[: size_hw[0], : size_hw[1]])


def everything(model: Path) -> TransformersBlock:
    return TransformersBlock(model=str(model), min_score=0.0, min_area=0.0, max_iou=1.0)


@pytest.mark.parametrize("family", ["mask2former", "eomt", "rf_detr"])
def test_masks_lie_where_the_library_puts_them(models: dict[str, Path], family: str) -> None:
    """With transformers' own post-processing as second implementation; it is coarser than ours in Mask2Former."""
    import torch
    import transformers as t

    image = noise()
    model: Any = (
        t.AutoModelForInstanceSegmentation if family == "rf_detr" else t.AutoModelForUniversalSegmentation
    )
    read: Any = t.AutoImageProcessor
    processor = read.from_pretrained(models[family])
    with torch.inference_mode():
        outputs = model.from_pretrained(models[family]).eval()(**processor(images=image, return_tensors="pt"))
    options = {} if family == "eomt" else {"return_binary_maps": True}
    (result,) = processor.post_process_instance_segmentation(
        outputs, threshold=0.0, target_sizes=[SIZE_HW], **options
    )
    found = [one.mask for one in segment(everything(models[family]), [image])[0]]
    people = [one for one in result["segments_info"] if fakes.LABELS[one["label_id"]] == "Person"]
    if family == "eomt":  # a map of ids, where later masks cover earlier ones
        covered = [result["segmentation"] == one["id"] for one in people]
        masks = [Mask.from_array(one.numpy()) for one in covered if one.any()]
        inside = [
            np.max([(mine.to_array() & mask.to_array()).sum() / mask.to_array().sum() for mine in found])
            for mask in masks
        ]
        assert min(inside, default=1.0) > 0.9
    else:
        ids = [one["id"] for one in result["segments_info"]]
        masks = [Mask.from_array(result["segmentation"][ids.index(one["id"])].numpy() > 0) for one in people]
        assert masks
        assert iou_matrix(masks, found).max(axis=1).min() > (0.9 if family == "mask2former" else 0.999)


def test_what_a_text_names_lies_where_the_library_puts_it(models: dict[str, Path]) -> None:
    """SAM 3, with transformers' own post-processing as second implementation."""
    import torch
    import transformers as t

    library: Any = t
    image, text = noise(), "rider"
    processor = library.Sam3Processor.from_pretrained(models["sam3"])
    with torch.inference_mode():
        inputs = processor(images=image, text=text, return_tensors="pt")
        outputs = library.Sam3Model.from_pretrained(models["sam3"]).eval()(**inputs)
    (result,) = processor.post_process_instance_segmentation(outputs, threshold=0.0, target_sizes=[SIZE_HW])
    masks = [
        (float(score), Mask.from_array(one.numpy() > 0))
        for score, one in zip(result["scores"], result["masks"], strict=True)
    ]
    wanted = sorted(((score, mask) for score, mask in masks if mask), key=lambda one: -one[0])
    found = segment(everything(models["sam3"]).model_copy(update={"text": text}), [image])[0]
    assert wanted
    assert [one.score for one in found] == pytest.approx([score for score, _ in wanted], abs=1e-5)
    ious = iou_matrix([one.mask for one in found], [mask for _, mask in wanted])
    assert ious.diagonal().min() > 0.99
    others = segment(everything(models["sam3"]), [image])[0]
    assert [one.score for one in others] != pytest.approx([one.score for one in found], abs=1e-5)


def test_oneformer_is_asked_for_instances(models: dict[str, Path]) -> None:
    """With the scores of transformers' network for this task; those for other tasks differ."""
    import torch
    import transformers as t

    library: Any = t
    folder = models["oneformer"]
    model = library.OneFormerForUniversalSegmentation.from_pretrained(folder).eval()
    images = library.OneFormerImageProcessor.from_pretrained(folder, class_info_file=None)
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    scores = {}
    for task in ("instance", "semantic"):
        text = tokenizer([f"the task is {task}"], padding="max_length", max_length=40, return_tensors="pt")
        pixels = images(images=noise(), task_inputs=[task], return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            outputs = model(pixel_values=pixels, task_inputs=text["input_ids"] * text["attention_mask"])
        people = outputs.class_queries_logits[0].softmax(-1)[:, 1]
        masks = outputs.masks_queries_logits[0].sigmoid()
        inside = masks > 0.5
        means = [
            mask[some].mean() if some.any() else torch.tensor(0.0)
            for mask, some in zip(masks, inside, strict=True)
        ]
        scores[task] = sorted((people * torch.stack(means)).tolist(), reverse=True)
    found = [one.score for one in segment(everything(folder), [noise()])[0]]
    assert found == pytest.approx(scores["instance"][: len(found)], rel=0.05)
    assert found != pytest.approx(scores["semantic"][: len(found)], rel=0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_frames_of_a_batch_give_what_each_gives_alone(models: dict[str, Path], family: str) -> None:
    images = [noise(seed=1), noise(seed=2), noise(size_hw=(120, 100), seed=3)]
    together = segment(everything(models[family]), images, batch=3)
    alone = [segment(everything(models[family]), [image], batch=1)[0] for image in images]
    for some, others in zip(together, alone, strict=True):
        assert [one.mask.size_hw for one in some] == [one.mask.size_hw for one in others]
        for one, other in zip(some, others, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert iou_matrix([one.mask], [other.mask])[0, 0] > 0.99


def test_a_network_that_learned_a_color_finds_it_in_an_image_of_another_shape(tmp_path: Path) -> None:
    import torch

    model = fakes.make_segformer().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    rng = np.random.default_rng(0)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for _ in range(60):
        images, labels = zip(*(paint_red(rng, (fakes.SIDE_PX, fakes.SIDE_PX)) for _ in range(4)), strict=True)
        pixels = (torch.tensor(np.stack(images)).float() / 255 - mean) / std
        loss = model(pixels.permute(0, 3, 1, 2), labels=torch.tensor(np.stack(labels)).long()).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder = fakes.save_segformer(tmp_path / "red", model.eval())
    image, expected = paint_red(rng, SIZE_HW)
    ((person,),) = segment(TransformersBlock(model=str(folder)), [image])
    assert iou_matrix([person.mask], [Mask.from_array(expected)])[0, 0] > 0.8
    assert person.score > 0.8
    assert person.stability is not None


def paint_red(rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[RgbImage, Any]:
    """Return an image with a red rectangle, and its pixels."""
    height, width = size_hw
    y, x = int(rng.integers(0, height // 2)), int(rng.integers(0, width // 2))
    inside = np.zeros(size_hw, dtype=np.bool_)
    inside[y : y + height // 2, x : x + width // 2] = True
    image = rng.integers(0, 100, (height, width, 3), dtype=np.uint8)
    image[inside] = (230, 20, 20)
    return image, inside


def test_the_hash_is_of_all_files_that_are_read(models: dict[str, Path], tmp_path: Path) -> None:
    folder = fakes.save_segformer(tmp_path / "mine")
    before = card_hash(folder)
    (folder / "README.md").write_text("changed")
    assert card_hash(folder) == before
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace("0.485", "0.5"))
    assert card_hash(folder) != before


def card_hash(folder: Path) -> str:
    block = TransformersBlock(model=str(folder))
    return make_segmenter(block, weights_dir=None, device="cpu", batch=1).card.weights_sha256


def test_folders_of_other_things_are_refused_with_what_to_do(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    sam = fakes.save_sam2(tmp_path / "sam")
    empty = tmp_path / "empty"
    empty.mkdir()
    pickled = fakes.save_segformer(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    backbone = tmp_path / "backbone"
    save_backbone(backbone)
    cases: list[tuple[Path, type[ModelError], str]] = [
        (sam, ConfigError, "refine: [sam:"),  # type: ignore[list-item]  # not a ModelError
        (empty, WeightsCorrupt, "no config.json"),
        (pickled, WeightsCorrupt, "no *.safetensors"),
        (backbone, WeightsCorrupt, "not trained for segmentation"),
        (tmp_path / "gone", WeightsMissing, "no such folder"),
    ]
    for folder, error, words in cases:
        with pytest.raises(error) as caught:
            segment(TransformersBlock(model=str(folder)), [noise()])
        assert words in str(caught.value)
    with pytest.raises(ConfigError, match="they are 'background', 'Person', 'car'"):
        segment(TransformersBlock(model=str(models["segformer"]), person_labels=("cyclist",)), [noise()])


def save_backbone(folder: Path) -> None:
    """Write an encoder without a head for masks, under the name of the whole network."""
    from safetensors.torch import load_file, save_file

    fakes.save_segformer(folder)
    file = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if "decode_head" not in name}
    save_file(kept, file, metadata={"format": "pt"})


def test_networks_refine_any_teacher_one_after_another(tmp_path: Path, models: dict[str, Path]) -> None:
    refine = [
        f"vitpose:{fakes.save_vitpose(tmp_path / 'vitpose')}",
        {"kind": "sam", "model": str(fakes.save_sam2(tmp_path / "sam2"))},
        f"vitmatte:{fakes.save_vitmatte(tmp_path / 'vitmatte')}",
    ]
    block = TransformersBlock.model_validate(
        {"model": str(models["rf_detr"]), "min_score": 0.0, "refine": refine}
    )
    segmenter = make_segmenter(block, weights_dir=None, device="cpu", batch=1)
    assert [label.partition("@")[0] for label in refiners_in(segmenter.card.settings)] == [
        "vitpose:vitpose",
        "sam:sam2",
        "vitmatte:vitmatte",
    ]
    ((first, *_),) = segmenter.segment([Frame("v", 0, noise())])
    assert first.keypoints is not None
    assert len(first.keypoints) == 17
    assert first.refined_by or first.not_refined
    wrong = LiteBlock.model_validate({"refine": [f"sam:{models['segformer']}"]}).refine[0]
    with pytest.raises(ConfigError, match="segformer: name a model that takes boxes"):
        make_refiner(wrong)
