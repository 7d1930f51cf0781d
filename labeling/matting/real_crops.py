"""Crops of unlabeled videos of static cameras, for the adversarial stage.

They are stored, so that a training that continues reads them instead of segmenting the videos again.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import StorageError
from labeling.background.coverage import MaskedPlate
from labeling.matting.disturbances import RNG
from labeling.matting.frame import CropImages, MattingFrame, cluster_crops, cut_crop
from labeling.matting.inputs import Crop, FloatImage
from labeling.matting.samples import RealSample
from labeling.matting.shadow_look import looks_like_shadow
from labeling.matting.stream import FindInstances, prepare_frames
from labeling.storage.atomic import storage_errors, write_atomically
from labeling.structures.frames import Clip, RgbImage

CROP_MARGIN = (0.0, 0.2)
"""Range of the margin around a crop, beside its own: the thesis crops real frames with 10 to 40 %."""
MAX_MASK_CHANGE = 4 / 256
"""Largest radius by which a mask is eroded or dilated, as a share of the side."""


def store_crops(  # noqa: PLR0913 - one clip and where its crops go
    clip: Clip,
    find: FindInstances,
    plate: MaskedPlate,
    folder: Path,
    *,
    side_px: int,
    every: int,
    seed: int,
    check: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write the crops around the people of one in `every` frames, and return their files."""
    rng = np.random.default_rng(seed)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for frame in prepare_frames(clip, find, plate, every=every):
        check()
        for crop in _random_crops(rng, frame):
            paths.append(folder / f"{len(paths):05d}.npz")
            write_crop(paths[-1], cut_crop(frame, crop, side_px))
    return paths


def _random_crops(rng: RNG, frame: MattingFrame) -> list[Crop]:
    crops = cluster_crops([person.mask.box_xywh for person in frame.people])
    boxes = [(crop.left, crop.top, crop.side, crop.side) for crop in crops]
    return [Crop.around([box], margin=rng.uniform(*CROP_MARGIN)) for box in boxes]


def write_crop(path: Path, crop: CropImages) -> None:
    """Write a crop as a compressed NumPy archive."""
    content = io.BytesIO()
    motion = np.stack(crop.motion) if crop.motion else np.zeros(0, np.uint8)
    people = np.array(crop.people, dtype=np.float32).reshape(-1, 17, 3)
    np.savez_compressed(
        content,
        image=crop.image,
        plate=crop.plate,
        is_seen=crop.is_seen,
        mask=crop.mask,
        motion=motion,
        people=people,
    )
    with storage_errors(path):
        write_atomically(path, content.getvalue())


def read_crop(path: Path) -> CropImages:
    """Read a crop that `store_crops` wrote.

    Raises:
        StorageError: it is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays: dict[str, NDArray[Any]] = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError) as exc:
        raise StorageError(
            f"crop {path} cannot be read: {exc}; delete the folder {path.parent} and run again"
        ) from exc
    motion = list(arrays["motion"]) or None
    people = [tuple((float(x), float(y), float(s)) for x, y, s in one) for one in arrays["people"]]
    return CropImages(arrays["image"], arrays["plate"], arrays["is_seen"], arrays["mask"], motion, people)


class RealSamples:
    """Makes samples from stored crops; sample `index` depends on the seed and the index alone."""

    def __init__(
        self, crops: Sequence[Path], backgrounds: Sequence[RgbImage], *, side_px: int, seed: int
    ) -> None:
        self._crops, self._backgrounds = crops, backgrounds
        self._side, self._seed = side_px, seed

    def sample(self, index: int) -> RealSample:
        """Return sample `index`."""
        rng = np.random.default_rng([self._seed, index])
        crop = read_crop(self._crops[int(rng.integers(len(self._crops)))])
        mask = _change_contour(rng, crop.mask)
        changed = CropImages(crop.image, crop.plate, crop.is_seen, mask, crop.motion, crop.people)
        shadow = looks_like_shadow(crop.image, crop.plate)[None].astype(np.float32)
        return RealSample(
            changed.to_input(), self._other_background(rng), _random_shift(rng, crop.mask), shadow
        )

    def _other_background(self, rng: RNG) -> FloatImage:
        """Return an image of `backgrounds`, or in half of the cases the plate of another crop."""
        if not self._backgrounds or rng.random() < 0.5:  # noqa: PLR2004
            rgb = read_crop(self._crops[int(rng.integers(len(self._crops)))]).plate
        else:
            image = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
            side = min(image.shape[:2])
            left = int(rng.integers(0, image.shape[1] - side + 1))
            square = image[:side, left : left + side]
            rgb = np.asarray(cv2.resize(square, (self._side, self._side), interpolation=cv2.INTER_AREA))
        return np.ascontiguousarray(rgb.transpose(2, 0, 1), np.float32) / np.float32(127.5) - 1


def _change_contour(rng: RNG, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    radius = round(rng.uniform(-1, 1) * MAX_MASK_CHANGE * mask.shape[0])
    kernel = np.ones((2 * abs(radius) + 1,) * 2, np.uint8)
    change = cv2.dilate if radius > 0 else cv2.erode
    return np.asarray(change(mask.astype(np.uint8), kernel) > 0)


def _random_shift(rng: RNG, mask: NDArray[np.bool_]) -> int:
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(columns):
        return 0
    return int(rng.integers(-columns[0], mask.shape[1] - columns[-1]))
