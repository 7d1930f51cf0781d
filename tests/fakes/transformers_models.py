"""Tiny networks of `transformers`, written to folders as their authors publish them.

Their weights are random, but those of ViTPose and ViTMatte, which are set by hand to find colors.
"""

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

    config = t.Mask2FormerConfig(
        backbone_config=_swin(),
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


def save_oneformer(folder: Path) -> Path:
    """Queries with a class and a mask, conditioned by a text; every letter is a token.

    The processor names a table of classes on the hub, as the published ones do.
    """
    import json

    import transformers as t

    library: Any = t
    config = library.OneFormerConfig(
        backbone_config=_swin(),
        conv_dim=32,
        mask_dim=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=5,
        task_seq_len=40,
        init_std=2.0,  # so that a text makes a difference
        **_NAMED,
    )
    images = library.OneFormerImageProcessor(size={"shortest_edge": SIDE_PX, "longest_edge": 2 * SIDE_PX})
    processor = library.OneFormerProcessor(images, _letters(), task_seq_length=40)
    _save(folder, _seeded(lambda: library.OneFormerForUniversalSegmentation(config)), processor)
    file = folder / "processor_config.json"
    settings = json.loads(file.read_text())
    settings["image_processor"] |= {"class_info_file": "coco_panoptic.json", "repo_path": "somebody/classes"}
    file.write_text(json.dumps(settings))
    return folder


def _swin() -> Any:
    import transformers as t

    library: Any = t
    return library.SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        image_size=SIDE_PX,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def _letters() -> Any:
    import transformers as t

    library: Any = t
    tokens = _letter_tokens()
    return library.CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])


def _letter_tokens() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]


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
    config = library.Sam3Config(
        vision_config=_sam3_vision(fpn_hidden_size=32),
        text_config={
            **part,
            "model_type": "clip_text_model",
            "vocab_size": len(_letter_tokens()),
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
    processor = library.Sam3Processor(library.Sam3ImageProcessor(size=size), _letters())
    return _save(folder, _seeded(lambda: library.Sam3Model(config)), processor)


def _sam3_vision(*, fpn_hidden_size: int) -> dict[str, Any]:
    backbone = {
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
    }
    return {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "fpn_hidden_size": fpn_hidden_size,
        "backbone_feature_sizes": [[64, 64], [32, 32], [16, 16]],
    }


def save_sam3_tracker(folder: Path) -> Path:
    """Masks for boxes and points, by the encoder of SAM 3."""
    import transformers as t

    library: Any = t
    side, parts = 4 * SIDE_PX, sam2_parts(4 * SIDE_PX)
    config = library.Sam3TrackerConfig(
        vision_config=_sam3_vision(fpn_hidden_size=128),
        prompt_encoder_config=parts["prompt_encoder_config"],
        mask_decoder_config=parts["mask_decoder_config"],
    )
    images = library.Sam3ImageProcessor(
        size={"height": side, "width": side}, mask_size={"height": side // 4, "width": side // 4}
    )
    processor = library.Sam3TrackerProcessor(images)
    return _save(folder, _seeded(lambda: library.Sam3TrackerModel(config)), processor)


def save_edgetam(folder: Path) -> Path:
    """Masks for boxes and points, by an encoder of `timm`."""
    import transformers as t

    library: Any = t
    side, parts = 2 * SIDE_PX, sam2_parts(2 * SIDE_PX)
    vision = {
        "backbone_config": library.TimmWrapperConfig(
            architecture="test_resnet",
            model_args={"in_chans": 3, "features_only": True, "out_indices": [1, 2, 3, 4]},
        ),
        "backbone_channel_list": [96, 192, 48, 32],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 128,
    }
    config = library.EdgeTamConfig(
        vision_config=library.EdgeTamVisionConfig(**vision),
        prompt_encoder_config=parts["prompt_encoder_config"],
        mask_decoder_config=parts["mask_decoder_config"],
    )
    images = t.Sam2ImageProcessor(size={"height": side, "width": side}, mask_size={"height": 32, "width": 32})
    return _save(folder, _seeded(lambda: library.EdgeTamModel(config)), t.Sam2Processor(images))


def save_sam2_video(folder: Path) -> Path:
    """Masks for boxes and points, and memory: the form in which SAM 2.1 is published."""
    import transformers as t

    library: Any = t
    side = 2 * SIDE_PX
    size = {"height": side, "width": side}
    config = library.Sam2VideoConfig(
        **sam2_parts(side),
        image_size=side,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
    )
    images = t.Sam2ImageProcessor(size=size, mask_size={"height": 32, "width": 32})
    processor = library.Sam2VideoProcessor(images, library.Sam2VideoVideoProcessor(size=size))
    return _save(folder, _seeded(lambda: library.Sam2VideoModel(config)), processor)


def save_vitpose(folder: Path, *, keypoints: int = 17, experts: int = 1) -> Path:
    """Heat maps of 17 keypoints: the nose is where the crop is red, the others are where it is green."""
    import torch
    import transformers as t

    library: Any = t
    backbone = {
        "model_type": "vitpose_backbone",
        "image_size": [128, 96],
        "patch_size": [8, 8],
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "mlp_ratio": 1,
        "num_experts": experts,
        "part_features": 4,
        "out_indices": [1],
    }
    config = library.VitPoseConfig(backbone_config=backbone, num_labels=keypoints)
    model = _seeded(lambda: library.VitPoseForPoseEstimation(config))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if name.endswith("layernorm.weight") else 0.0)
        embeddings = model.backbone.embeddings
        seen = embeddings.patch_embeddings.projection.weight
        for channel, others in ((0, (1, 2)), (1, (0, 2))):  # as red, or as green, as the patch is
            seen[channel, channel] = 1.0
            seen[channel, list(others)] = -1.0
        embeddings.patch_embeddings.projection.bias[2] = 100.0  # what the norm compares the others with
        model.head.conv.weight[0, 0, 1, 1] = 0.3
        model.head.conv.weight[1:, 1, 1, 1] = 0.3
    processor = library.VitPoseImageProcessor(size={"height": 128, "width": 96})
    return _save(folder, model, processor)


def save_vitmatte(folder: Path) -> Path:
    """Alpha is 1 where the image is red."""
    import torch
    import transformers as t

    library: Any = t
    backbone = {
        "model_type": "vitdet",
        "num_channels": 4,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "mlp_ratio": 1,
        "image_size": SIDE_PX,
        "pretrain_image_size": SIDE_PX,
        "patch_size": 16,
        "out_features": ["stage1"],
    }
    config = library.VitMatteConfig(
        backbone_config=backbone,
        hidden_size=8,
        convstream_hidden_sizes=[4, 4, 4],
        fusion_hidden_sizes=[8, 8, 8, 4],
    )
    model = _seeded(lambda: library.VitMatteForImageMatting(config))
    with torch.no_grad():
        last, head = model.decoder.fusion_blocks[3].conv, model.decoder.matting_head.matting_convs
        for layer in (last.conv, head[0], head[3]):
            layer.weight.zero_()
        for norm in (last.batch_norm, head[1]):
            norm.weight.fill_(1.0)
        last.conv.weight[0, 0, 1, 1] = 1.0  # the image's red; -1 to 1
        head[0].weight[0, 0, 1, 1] = 1.0
        head[0].bias.zero_()
        head[3].weight[0, 0] = 20.0
        head[3].bias.fill_(-10.0)
    return _save(folder, model, library.VitMatteImageProcessor())


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
