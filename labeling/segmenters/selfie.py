"""MediaPipe's selfie segmentation: one mask for all people in the image."""

import json
from dataclasses import replace
from pathlib import Path

from configs.segmenters import CustomNetworkBlock, SelfieBlock
from labeling.segmenters.custom_network import CustomNetworkSegmenter
from labeling.segmenters.weights import find_weights
from labeling.structures.instances import ModelCard

INPUT_HW = (256, 256)


class SelfieSegmenter(CustomNetworkSegmenter):
    """The LiteRT network: RGB in [0, 1] in, person probability out."""

    def __init__(self, block: SelfieBlock, *, weights_dir: Path | None) -> None:
        self._selfie = block
        network = CustomNetworkBlock(
            kind="litert",
            path=find_weights("selfie_segmentation", weights_dir),
            input_hw=INPUT_HW,
            layout="nhwc",
            mask_threshold=block.mask_threshold,
            min_area=block.min_area,
        )
        super().__init__(network)

    @property
    def card(self) -> ModelCard:
        settings = self._selfie.model_dump(mode="json", exclude={"kind", "refine"})
        return replace(
            super().card,
            kind="selfie",
            name="selfie_segmentation",
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
        )
