"""Rendered people as cut-outs."""

import numpy as np

from labeling.matting.disturbances import RNG
from labeling.structures.cutouts import Cutout
from labeling.synthetic.canvas import Color, value_noise
from labeling.synthetic.figure import Clothes, PlacedFigure, Stance, draw_figure, pose_keypoints
from labeling.training.cutouts import extend_color


def _random_color(rng: RNG) -> Color:
    red, green, blue = (float(value) for value in rng.uniform(10, 240, 3))
    return red, green, blue


def render_cutout(rng: RNG) -> Cutout:
    """Render a person with random pose and clothes, 240 pixels tall."""
    tall = 240.0
    stance = Stance(
        gait=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.choice([0.0, 1.0, rng.random()])),
        crouch=float(max(0.0, rng.uniform(-1.5, 1.0))),
        facing=float(rng.choice([-1.0, 1.0])),
    )
    shirt, stripes, trousers, shoes, skin, hair = (_random_color(rng) for _ in range(6))
    clothes = Clothes(shirt, stripes if rng.random() < 0.4 else None, trousers, shoes, skin, hair)  # noqa: PLR2004
    fabric = 1 + rng.uniform(0.03, 0.3) * value_noise(rng, (160, 128), cell_px=float(rng.uniform(4, 40)))
    placed = PlacedFigure(0.5 * tall, 1.12 * tall, tall)
    layer = draw_figure(stance, placed, clothes, fabric=np.asarray(fabric, np.float32), ground_y=0.0)
    at = {
        name: (placed.feet_x + x * tall - layer.left, placed.feet_y - y * tall - layer.top)
        for name, (x, y) in pose_keypoints(stance).items()
    }
    left, right = ("far", "near") if stance.facing > 0 else ("near", "far")
    head = np.array(at["head"])
    nose = head + np.array([0.4 * stance.facing * 0.062 * tall, 0.1 * 0.062 * tall])
    joints = [nose, nose, nose, head, head]
    for part in ("shoulder", "elbow", "hand", "hip", "knee", "ankle"):
        joints += [np.array(at[f"{left}_{part}"]), np.array(at[f"{right}_{part}"])]
    visible = [1.0, 0.0, 0.0, 0.0, 0.0] + [1.0] * 12
    keypoints = tuple((float(x), float(y), v) for (x, y), v in zip(joints, visible, strict=True))
    return Cutout(extend_color(layer.rgb, layer.coverage), layer.coverage, keypoints)
