"""Who is where, when, and doing what: the scene as a function of time."""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from labeling.synthetic.canvas import Color
from labeling.synthetic.figure import Clothes, Stance

CYCLE_S = 20.0
"""The scene repeats after this long, on other lines and in other clothes; a shorter video shows the
whole scene in its own length."""
STEP = 0.42
"""Half a walking cycle takes a person forward by this share of the body's height."""


@dataclass(frozen=True, slots=True)
class Mark:
    """At share `t` of the cycle the person is at `x` (image widths), on row `y` (heights)."""

    t: float
    x: float
    y: float
    crouch: float = 0.0


@dataclass(frozen=True, slots=True)
class Actor:
    clothes: Clothes
    height: float
    """Relative to an adult."""
    marks: tuple[Mark, ...]
    """In order of t; between two marks the person walks in a straight line."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One actor at one time: feet at (x, y) in image widths and heights."""

    x: float
    y: float
    stance: Stance


_RED: Color = (176, 44, 48)
_CREAM: Color = (226, 214, 190)
_SLATE: Color = (62, 72, 104)

_ACTORS = (
    Actor(  # walks in, stops behind the table, crosses in front of the others and leaves
        Clothes(_RED, _CREAM, (50, 66, 118), (36, 30, 30), (206, 158, 128), (52, 34, 22)),
        1.0,
        (
            Mark(0.10, -0.12, 0.74),
            Mark(0.24, 0.47, 0.74),
            Mark(0.36, 0.47, 0.74),
            Mark(0.46, 0.62, 0.90),
            Mark(0.64, 0.90, 0.86),
            Mark(0.72, 0.80, 0.80),
            Mark(0.90, -0.12, 0.84),
        ),
    ),
    Actor(  # in dark clothes, stands in front of the dark cabinet for long
        Clothes(_SLATE, None, (74, 70, 90), (20, 18, 18), (178, 130, 102), (24, 20, 20)),
        1.04,
        (Mark(0.20, 1.12, 0.70), Mark(0.31, 0.83, 0.70), Mark(0.70, 0.83, 0.70), Mark(0.84, 1.12, 0.72)),
    ),
    Actor(  # smaller; crouches on the rug in front, stands up again
        Clothes((214, 172, 60), None, (64, 104, 88), (190, 190, 194), (222, 178, 150), (120, 78, 40)),
        0.78,
        (
            Mark(0.34, 1.12, 0.93),
            Mark(0.48, 0.34, 0.93),
            Mark(0.52, 0.34, 0.93, 1.0),
            Mark(0.68, 0.34, 0.93, 1.0),
            Mark(0.72, 0.34, 0.93),
            Mark(0.82, -0.12, 0.95),
        ),
    ),
)
_LAMP = (0.56, 0.74)
"""Shares of the cycle between which the ceiling light is on."""
_LAMP_GAIN = 0.32
_LAMP_RISE = 0.01
_DRIFT = 0.03
"""Share by which daylight goes up and down over a cycle."""


def cast_actors(seed: int, cycle: int) -> tuple[Actor, ...]:
    """The actors of one repetition: the first wears and walks what is written here, later ones vary."""
    if cycle == 0:
        return _ACTORS
    rng = np.random.default_rng([seed, 1, cycle])
    return tuple(_vary(actor, rng) for actor in _ACTORS)


def _vary(actor: Actor, rng: np.random.Generator) -> Actor:
    red, green, blue = (float(value) for value in rng.uniform(30, 210, 3))
    shift = float(rng.uniform(-0.015, 0.015))
    marks = tuple(replace(mark, y=mark.y + shift) for mark in actor.marks)
    return replace(actor, clothes=replace(actor.clothes, shirt=(red, green, blue)), marks=marks)


def place_actor(actor: Actor, t: float, body_widths: float) -> Moment | None:
    """Where an actor is at share `t` of the cycle; None before the first and after the last mark.

    `body_widths` is a body height in image widths: steps follow the way walked, so that feet
    do not slide whatever the speed.
    """
    marks = actor.marks
    if not marks[0].t <= t < marks[-1].t:
        return None
    index = max(i for i, mark in enumerate(marks) if mark.t <= t)
    before, after = marks[index], marks[index + 1]
    share = (t - before.t) / (after.t - before.t)
    if before.crouch != after.crouch:
        share = share * share * (3 - 2 * share)
    x, y = before.x + share * (after.x - before.x), before.y + share * (after.y - before.y)
    walked = sum(abs(b.x - a.x) for a, b in itertools.pairwise(marks[: index + 1]))
    walked += abs(x - before.x)
    is_walking = after.x != before.x
    ends = min(share, 1 - share) * (after.t - before.t) / _EASE if is_walking else 0.0
    stance = Stance(
        gait=np.pi * walked / (STEP * body_widths),
        stride=min(1.0, 0.35 + ends) if is_walking else 0.0,
        crouch=before.crouch + share * (after.crouch - before.crouch),
        facing=_facing(actor, index),
    )
    return Moment(x, y, stance)


_EASE = 0.012
"""Share of a cycle after which a person that starts or stops walks with full steps."""


def _facing(actor: Actor, index: int) -> float:
    """Towards where the person walks, or last walked."""
    for before, after in zip(actor.marks[index::-1], actor.marks[index + 1 : 0 : -1], strict=False):
        if after.x != before.x:
            return 1.0 if after.x > before.x else -1.0
    return 1.0


def light_at(t: float) -> tuple[float, float]:
    """Daylight as a factor, and how far the lamp is on (0 to its gain), at share `t` of the cycle."""
    daylight = 1 + _DRIFT * float(np.sin(2 * np.pi * t))
    on, off = _LAMP
    lamp = min(1.0, max(0.0, (t - on) / _LAMP_RISE)) * min(1.0, max(0.0, (off - t) / _LAMP_RISE))
    return daylight, _LAMP_GAIN * lamp
