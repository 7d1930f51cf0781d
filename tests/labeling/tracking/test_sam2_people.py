"""SAM 2 through transformers, with a tiny model of random weights: prompts, identities, sessions, wrong folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import WeightsMissing
from configs.segmenters import LiteBlock, OsvosBlock
from labeling.structures.frames import Clip, Frame
from tests.fakes.transformers_models import sam2_parts
from tests.labeling.tracking.crossing import KnownPeople, draw_frame, write_scene

pytestmark = [
    pytest.mark.requires("torch", "torch"),
    pytest.mark.requires("transformers", "transformers"),
    pytest.mark.slow,
]
SIDE_PX = 128


def save_tiny_model(folder: Path) -> None:
    """Write a video model of SAM 2 with a few thousand random weights, and its processor."""
    import torch
    from transformers import (
        Sam2ImageProcessor,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VideoVideoProcessor,
    )

    torch.manual_seed(3)
    size = {"height": SIDE_PX, "width": SIDE_PX}
    config = Sam2VideoConfig(
        **sam2_parts(SIDE_PX),
        image_size=SIDE_PX,
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
    Sam2VideoModel(config).save_pretrained(folder)
    image_processor = Sam2ImageProcessor(size=size, mask_size={"height": 32, "width": 32})
    Sam2VideoProcessor(image_processor, Sam2VideoVideoProcessor(size=size)).save_pretrained(folder)


def test_people_are_prompted_and_keep_their_ids(tmp_path: Path) -> None:
    from labeling.segmenters.osvos import OsvosSegmenter

    masks = write_scene(tmp_path)
    save_tiny_model(tmp_path / "sam2")
    block = OsvosBlock(
        trajectories=tmp_path / "people.txt",
        homography=tmp_path / "H.txt",
        teacher=LiteBlock(),
        method="sam2",
        sam2=tmp_path / "sam2",
        cache=tmp_path / "cache",
    )
    segmenter = OsvosSegmenter(block, KnownPeople(masks))
    assert len(segmenter.card.weights_sha256) == 64
    prepared = segmenter.prepare(Clip("crossing", tmp_path / "video.mp4"))
    assert not list((tmp_path / "cache").glob("*/*.pt"))
    frames = [Frame("crossing", 100 * number, draw_frame(number)[0]) for number in (4, 5, 6, 8)]
    found = prepared.segment(frames)
    assert len(found) == 4
    for people in found:
        assert [one.track_id for one in people] == sorted({one.track_id for one in people} & {1, 2})  # type: ignore[type-var]
        owners = sum(one.mask.to_array().astype(np.int64) for one in people)
        assert np.max(owners) <= 1
    predictor: Any = prepared._predictor
    assert (predictor._frames, predictor._in_session) == (1, (1, 2))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    from labeling.tracking.sam2_people import load_sam2

    with pytest.raises(
        WeightsMissing, match=r"no model of transformers there; name a folder with config\.json"
    ):
        load_sam2(tmp_path)
