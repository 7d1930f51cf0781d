"""Tiny networks of `transformers` with random weights, written to folders as their authors publish them."""

from pathlib import Path
from typing import Any

SIDE_PX = 64
LABELS = {0: "background", 1: "Person", 2: "car"}
_NAMED: dict[str, Any] = {"id2label": LABELS, "label2id": {name: number for number, name in LABELS.items()}}


def save_segformer(folder: Path, model: Any = None) -> Path:
    """One class for each pixel."""
    import transformers as t

    size = {"height": SIDE_PX, "width": SIDE_PX}
    return _save(folder, model or make_segformer(), t.SegformerImageProcessor(size=size))


def make_segformer() -> Any:
    import transformers as t

    config = t.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        **_NAMED,
    )
    return _seeded(lambda: t.SegformerForSemanticSegmentation(config))


def save_mask2former(folder: Path) -> Path:
    """Queries with a class and a mask; the longer side of the image is not fixed."""
    import transformers as t

    library: Any = t
    backbone = library.SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        image_size=SIDE_PX,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = t.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=5,
        **_NAMED,
    )
    processor = t.Mask2FormerImageProcessor(size={"shortest_edge": SIDE_PX, "longest_edge": 2 * SIDE_PX})
    return _save(folder, _seeded(lambda: t.Mask2FormerForUniversalSegmentation(config)), processor)


def save_eomt(folder: Path) -> Path:
    """Queries with a class and a mask; the image is in the upper left of a square."""
    import transformers as t

    config = t.EomtConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=SIDE_PX,
        patch_size=16,
        num_queries=5,
        num_blocks=1,
        num_upscale_blocks=1,
        **_NAMED,
    )
    size = {"shortest_edge": SIDE_PX, "longest_edge": SIDE_PX}
    processor = t.EomtImageProcessor(size=size, do_pad=True, do_split_image=False)
    return _save(folder, _seeded(lambda: t.EomtForUniversalSegmentation(config)), processor)


def save_rf_detr(folder: Path) -> Path:
    """Queries whose classes are judged one by one."""
    import transformers as t

    backbone = {
        "model_type": "rf_detr_dinov2",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE_PX,
        "patch_size": 16,
        "num_windows": 1,
        "out_features": ["stage1", "stage2"],
    }
    config = t.RfDetrConfig(
        backbone_config=backbone,
        d_model=16,
        decoder_ffn_dim=16,
        decoder_layers=1,
        decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2,
        num_queries=5,
        group_detr=1,
        **_NAMED,
    )
    processor = t.RfDetrImageProcessor(size={"height": SIDE_PX, "width": SIDE_PX})
    return _save(folder, _seeded(lambda: t.RfDetrForInstanceSegmentation(config)), processor)


def save_sam3(folder: Path) -> Path:
    """Queries about what a text names; every letter is a token."""
    import transformers as t

    library: Any = t
    part = {"hidden_size": 32, "num_attention_heads": 2}
    layers = part | {"num_layers": 1, "intermediate_size": 16}
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    tokenizer = library.CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    config = library.Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 4 * SIDE_PX,
                "pretrain_image_size": SIDE_PX,
                "patch_size": 16,
                "window_size": 4,
                "global_attn_indexes": [1],
            },
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[64, 64], [32, 32], [16, 16]],
        },
        text_config={
            **part,
            "model_type": "clip_text_model",
            "vocab_size": len(tokens),
            "intermediate_size": 16,
            "projection_dim": 32,
            "num_hidden_layers": 1,
            "max_position_embeddings": 32,
            "bos_token_id": 0,
            "eos_token_id": 1,
        },
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config=layers | {"num_queries": 5},
        mask_decoder_config=part,
    )
    size = {"height": 4 * SIDE_PX, "width": 4 * SIDE_PX}
    processor = library.Sam3Processor(library.Sam3ImageProcessor(size=size), tokenizer)
    return _save(folder, _seeded(lambda: library.Sam3Model(config)), processor)


def save_sam2(folder: Path) -> Path:
    """Masks for boxes and points."""
    import transformers as t

    side = 2 * SIDE_PX
    config = t.Sam2Config(**sam2_parts(side))
    images = t.Sam2ImageProcessor(size={"height": side, "width": side}, mask_size={"height": 32, "width": 32})
    return _save(folder, _seeded(lambda: t.Sam2Model(config)), t.Sam2Processor(images))


def sam2_parts(side_px: int) -> dict[str, Any]:
    """Return the settings of a SAM 2 with some hundred thousand weights, for images and for videos."""
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [side_px, side_px],
        "blocks_per_stage": [1, 2, 1, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 1, 1],
        "window_size_per_stage": [8, 4, 4, 4],
        "global_attention_blocks": [2],
        "window_positional_embedding_background_size": [4, 4],
    }
    return {
        "vision_config": {
            "model_type": "sam2_vision_model",
            "backbone_config": backbone,
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
            "fpn_hidden_size": 128,
        },
        "prompt_encoder_config": {"hidden_size": 128, "image_size": side_px, "patch_size": 16},
        "mask_decoder_config": {
            "hidden_size": 128,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    }


def _seeded(make: Any) -> Any:
    import torch

    torch.manual_seed(3)
    return make().eval()


def _save(folder: Path, model: Any, processor: Any) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
