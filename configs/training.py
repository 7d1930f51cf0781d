"""Settings of trainings."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from configs.block import Block, Fraction01
from configs.matting import PlateBlock
from configs.segmenters import LiteBlock, SegmenterBlock
from configs.student_training import Training
from configs.synthesis import FakeMotionBlock


class AdversarialTraining(Block):
    """The second stage: unlabeled video of static cameras, with the supervised network as teacher."""

    epochs: int = Field(15, ge=1)
    steps_per_epoch: int = Field(100, ge=1)
    """Steps between two checkpoints."""
    learning_rate: float = Field(1e-4, gt=0)
    """Adam's, of the matting network (thesis)."""
    discriminator_learning_rate: float = Field(1e-5, gt=0)
    discriminator_every: int = Field(5, ge=1)
    """Steps of the matting network per step of the discriminator."""
    teacher_weight: float = Field(0.05, ge=0)
    """Weight of the difference from the teacher, beside the discriminator's loss."""
    halve_every: int = Field(2, ge=1)
    """The teacher's weight is halved after so many epochs."""
    divergence: float = Field(1.0, ge=0)
    """Weight of the divergence loss; 0 turns it off."""
    frames_per_video: int = Field(100, ge=1)
    """Frames of each video from which crops are taken, at equal distances."""
    plate: PlateBlock = PlateBlock()


class MattingTraining(Training):
    """Training of the matting network. The keys outside `adversarial` are those of the supervised stage."""

    size: Literal["cpu", "full", "tiny"] = "cpu"
    """`cpu`: 256 pixels, 6.5 billion multiplications a sample; `full`: the paper's, 512 pixels, 406 billion;
    `tiny`: 64 pixels, for tests."""
    steps: int = Field(4000, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    """Largest learning rate of Adam; it rises during `warm_up` and then falls to 0 along a cosine."""
    warm_up: Fraction01 = 0.1
    divergence: float = Field(0.0, ge=0)
    """Weight of the divergence loss; 0 turns it off."""
    only_shadows: bool = True
    """Apply the divergence loss only where the image looks like darkened background: otherwise hats and guitars
    vanish too."""
    rendered_share: Fraction01 = 0.4
    """Share of the samples with a rendered person, if `synthetic` is among several data sets."""
    max_cutouts: int = Field(4000, ge=1)
    """Most people that are kept in memory, spread over the labeled images."""
    max_backgrounds: int = Field(1000, ge=1)
    adversarial: AdversarialTraining = AdversarialTraining()
    teacher: SegmenterBlock = LiteBlock()
    """Finds the keypoints of labeled people, and the people of unlabeled videos."""
    weights_dir: Path | None = None
    """Folder of the teacher's weights; None: they are downloaded to the cache."""


class PoseMaskTraining(Training):
    """Training of the network of `kind: pose_guided`."""

    size: Literal["cpu", "full", "tiny"] = "cpu"
    """`cpu`: 2.4 billion multiplications a sample; `full`: the paper's figure, 10 billion; `tiny`: 64 pixels, for
    tests."""
    batch: int = Field(16, ge=1)
    steps: int = Field(2600, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    """Largest learning rate of AdamW; it rises during `warm_up` and then falls to 0 along a cosine."""
    weight_decay: float = Field(1e-2, ge=0)
    warm_up: Fraction01 = 0.08
    real_share: Fraction01 = 0.4
    """Share of the samples that show a person where they stood."""
    figure_share: Fraction01 = 0.3
    """Share with a rendered figure, if `synthetic` is among the data sets; the rest are cut-outs of real people
    over other backgrounds."""
    max_people: int = Field(4000, ge=1)
    """Most labeled images that are kept in memory for each data set."""
    max_backgrounds: int = Field(1000, ge=1)
    teacher: SegmenterBlock = LiteBlock(min_score=0.5)
    """Finds the keypoints of labeled people that have none."""
    weights_dir: Path | None = None
    """Folder of the teacher's weights; None: they are downloaded to the cache."""


class OsvosParentTraining(Training):
    """Training of the parent network of `kind: osvos`."""

    backbone: str = "tf_efficientnet_lite0"
    """Network of `timm` whose feature maps are used."""
    weights: Path | None = None
    """File of the backbone's weights; None: random weights."""
    learning_rate: float = Field(1e-3, gt=0)
    """AdamW's, of the head; it falls to 0 along a cosine."""
    backbone_share: Fraction01 = 0.1
    """Learning rate of the backbone, as a share of the head's; 0 leaves it as it is."""
    weight_decay: float = Field(2e-4, ge=0)
    max_people: int = Field(500, ge=1)
    """Most people that are kept in memory, over all data sets."""


class TemporalTraining(Training):
    """Training of the recurrent matting network on fake-motion clips (Molodetskikh et al. 2022)."""

    size: Literal["cpu", "full", "tiny"] = "cpu"
    """`full`: the paper's; `cpu`: half of its channels or less; `tiny`: 64 pixels, for tests."""
    batch: int = Field(4, ge=1)
    """Clips of a step, on each device."""
    frames: int = Field(4, ge=2)
    """Frames of a sample (the paper's k)."""
    steps: int = Field(4000, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    """Largest learning rate of Adam; it rises during `warm_up` and then falls to 0 along a cosine."""
    warm_up: Fraction01 = 0.1
    is_recurrent: bool = True
    """False: neither memory nor attention across frames, to measure what they give."""
    clips: int = Field(600, ge=1)
    """Clips that are made before the training; samples are random parts of them."""
    clip_frames: int = Field(6, ge=2)
    """Frames of each that are kept: they are consecutive, from a random time of a clip of `motion.duration_s`."""
    motion: FakeMotionBlock = FakeMotionBlock(width=384, height=256, duration_s=2.0, second_person=0.4)
    """The clips; its seed is not used."""
    rendered_share: float = Field(0.25, ge=0, lt=1)
    """Share of the people that are rendered, if `synthetic` is among several data sets."""
    simulated_share: Fraction01 = 0.3
    """Share of the samples whose probability is not the teacher's but has random errors; 1 without a teacher."""
    teacher: SegmenterBlock = LiteBlock(landmarks="cascade")
    """Makes the person probability that the network refines."""
    start: Path | None = None
    """ONNX file of a network of the same size, from whose weights the training starts; None: random weights."""
    weights_dir: Path | None = None
    """Folder of the teacher's weights; None: they are downloaded to the cache."""

    @model_validator(mode="after")
    def _check_frames(self) -> Self:
        if self.clip_frames < self.frames or self.motion.frames < self.clip_frames:
            raise PydanticCustomError(
                "clip_frames",
                "frames ({frames}) must not exceed clip_frames ({clip_frames}), nor these the clip's {motion}",
                {"frames": self.frames, "clip_frames": self.clip_frames, "motion": self.motion.frames},
            )
        return self
