"""SAM 2 through transformers, with a tiny model of random weights: prompts, identities, sessions, wrong folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import WeightsCorrupt, WeightsMissing
from configs.segmenters import LiteBlock, OsvosBlock
from labeling.structures.frames import Clip, Frame
from tests.fakes.transformers_models import save_sam2_video
from tests.labeling.tracking.crossing import KnownPeople, draw_frame, write_scene

pytestmark = [
    pytest.mark.requires("torch", "torch"),
    pytest.mark.requires("transformers", "transformers"),
    pytest.mark.slow,
]


def test_people_are_prompted_and_keep_their_ids(tmp_path: Path) -> None:
    from labeling.segmenters.osvos import OsvosSegmenter

    masks = write_scene(tmp_path)
    save_sam2_video(tmp_path / "sam2")
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


def test_weights_in_a_pickle_are_not_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from labeling.tracking.sam2_people import load_sam2

    save_sam2_video(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    assert len(load_sam2(tmp_path).sha256) == 64
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(WeightsCorrupt, match="not a video model of SAM 2"):
        load_sam2(tmp_path)
