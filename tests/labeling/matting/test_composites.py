"""Composites: deterministic, exact before noise, and shadows that differ from hats."""

import numpy as np
import pytest

from labeling.matting.composites import CompositeSettings, Compositor
from labeling.matting.inputs import NAMES
from labeling.matting.rendered_cutouts import render_cutout
from labeling.matting.samples import Sample
from labeling.matting.shadow_look import looks_like_shadow
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import RgbImage
from labeling.synthetic.canvas import value_noise

SIDE = 64
CALM = CompositeSettings(
    rendered_share=1.0,
    second_person=0,
    camouflage=0,
    shadow=0,
    distractor=0,
    no_motion=1,
    no_keypoints=0,
    ghost=0,
    unseen=0,
    noise=0,
)


def scenes() -> list[RgbImage]:
    rng = np.random.default_rng(5)
    noise = np.dstack([value_noise(rng, (120, 160), cell_px=20) for _ in range(3)])
    return [np.clip(128 + 60 * noise, 60, 220).astype(np.uint8)]


def compositor(settings: CompositeSettings | None = None, *, seed: int = 1) -> Compositor:
    return Compositor([], scenes(), side_px=SIDE, seed=seed, settings=settings)


def arrays(sample: Sample) -> list[np.ndarray]:  # type: ignore[type-arg]
    inputs = [getattr(sample.input, name) for name in NAMES]
    return [*inputs, sample.alpha, sample.foreground, sample.background, sample.shadow_like]


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    first, again = compositor(), compositor()
    again.sample(0)
    for before, after in zip(arrays(first.sample(7)), arrays(again.sample(7)), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(first.sample(7).input.image, first.sample(8).input.image)
    assert not np.array_equal(first.sample(7).input.image, compositor(seed=2).sample(7).input.image)


@pytest.mark.parametrize("index", range(6))
def test_values_have_the_shapes_and_ranges_of_the_network(index: int) -> None:
    sample = compositor().sample(index)
    shapes = {"image": 3, "plate": 3, "coverage": 1, "prior": 1, "motion": 4}
    for name, channels in shapes.items():
        values = getattr(sample.input, name)
        assert values.shape == (channels, SIDE, SIDE)
        assert values.dtype == np.float32
        assert np.abs(values).max() <= 1
    assert sample.input.keypoints.shape == (55, SIDE // 4, SIDE // 4)
    assert sample.alpha.shape == (1, SIDE, SIDE)
    assert 0 <= sample.alpha.min() < sample.alpha.max() <= 1


@pytest.mark.parametrize("index", range(4))
def test_the_image_is_the_composite_of_its_exact_alpha(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def expose(self: Compositor, rng: object, image: np.ndarray, noise: float) -> np.ndarray:  # type: ignore[type-arg]
        shown.append(image)
        return np.clip(image + 0.5, 0, 255).astype(np.uint8)

    monkeypatch.setattr(Compositor, "_expose", expose)
    sample = compositor(CALM).sample(index)
    alpha = sample.alpha.transpose(1, 2, 0)
    foreground, behind = (
        (color.transpose(1, 2, 0) + 1) * 127.5 for color in (sample.foreground, sample.background)
    )
    composite = alpha * foreground + (1 - alpha) * behind
    is_in_range = (foreground < 255).all(axis=2) & (behind < 255).all(axis=2)
    np.testing.assert_allclose(shown[0][is_in_range], composite[is_in_range], atol=0.01)
    assert is_in_range.mean() > 0.5


def test_without_cutouts_people_are_rendered_and_with_them_they_are_pasted() -> None:
    green = np.zeros((100, 60, 3), np.uint8) + np.array([0, 255, 0], np.uint8)
    cutout = Cutout(green, np.ones((100, 60), np.float32))
    settings = CompositeSettings(rendered_share=0, second_person=0, camouflage=0)
    sample = Compositor([cutout], scenes(), side_px=SIDE, seed=1, settings=settings).sample(0)
    red, level, blue = sample.foreground[:, sample.alpha[0] > 0.9]
    assert level.size
    assert (level > red + 0.5).all()
    assert (level > blue + 0.5).all()


def test_a_rendered_person_has_keypoints_inside_the_silhouette() -> None:
    cutout = render_cutout(np.random.default_rng(3))
    found = [(round(x), round(y)) for x, y, score in cutout.keypoints if score > 0]
    assert len(found) == 13
    inside = [cutout.alpha[y, x] > 0.5 for x, y in found]
    assert np.mean(inside) > 0.8


def test_a_planted_shadow_looks_like_a_shadow_and_a_colored_hat_does_not() -> None:
    (plate,) = scenes()
    image = plate.copy()
    image[80:110, 20:70] = (0.6 * plate[80:110, 20:70]).round().astype(np.uint8)
    image[10:25, 60:85] = (150, 40, 45)
    found = looks_like_shadow(image, plate)
    assert found[80:110, 20:70].mean() > 0.95
    assert found[10:25, 60:85].mean() < 0.05
    untouched = np.ones(plate.shape[:2], bool)
    untouched[80:110, 20:70] = untouched[10:25, 60:85] = False
    assert not found[untouched].any()
