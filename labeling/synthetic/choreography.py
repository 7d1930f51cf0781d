"""Where each person is and what they do, as a function of time."""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from labeling.synthetic.figure import Clothes, Stance

CYCLE_S = 20.0
"""The scene repeats after this time, with shifted paths and other clothes; a shorter video shows all of it."""
STEP = 0.42
"""Distance of half a walking cycle, in body heights."""
_EASE = 0.012
"""Share of a cycle in which a person who starts or stops changes to or from full steps."""
_LAMP_ON, _LAMP_OFF, _LAMP_RISE = 0.56, 0.74, 0.01
"""Shares of the cycle: the ceiling light is on between the first two and takes the third to rise."""
_LAMP_GAIN = 0.32
_DRIFT = 0.03
"""Share by which daylight rises and falls over a cycle."""


@dataclass(frozen=True, slots=True)
class Mark:
    """At share `t` of the cycle the person is at `x` (image widths), on row `y` (heights)."""

    t: float
    x: float
    y: float
    crouch: float = 0.0


@dataclass(frozen=True, slots=True)
class Actor:
    """A person with clothes, `height` (1 is an adult), and a path of straight lines between `marks`."""

    clothes: Clothes
    height: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """One actor at one time: feet at (x, y) in image widths and heights."""

    x: float
    y: float
    stance: Stance


_WALKER = (  # stops behind the table, crosses in front of the others and leaves
    (0.10, -0.12, 0.74), (0.24, 0.47, 0.74), (0.36, 0.47, 0.74), (0.46, 0.62, 0.90), (0.64, 0.90, 0.86),
    (0.72, 0.80, 0.80), (0.90, -0.12, 0.84),
)  # fmt: skip
_STANDER = (  # in dark clothes, stands in front of the dark cabinet for a long time
    (0.20, 1.12, 0.70), (0.31, 0.83, 0.70), (0.70, 0.83, 0.70), (0.84, 1.12, 0.72),
)  # fmt: skip
_CHILD = (  # crouches on the rug in front, stands up again
    (0.34, 1.12, 0.93), (0.48, 0.34, 0.93), (0.52, 0.34, 0.93, 1.0), (0.68, 0.34, 0.93, 1.0),
    (0.72, 0.34, 0.93), (0.82, -0.12, 0.95),
)  # fmt: skip
_RED, _CREAM, _SLATE = (176, 44, 48), (226, 214, 190), (62, 72, 104)
_ACTORS = tuple(
    Actor(clothes, height, tuple(Mark(*mark) for mark in path))
    for clothes, height, path in (
        (Clothes(_RED, _CREAM, (50, 66, 118), (36, 30, 30), (206, 158, 128), (52, 34, 22)), 1.0, _WALKER),
        (Clothes(_SLATE, None, (74, 70, 90), (20, 18, 18), (178, 130, 102), (24, 20, 20)), 1.04, _STANDER),
        (
            Clothes((214, 172, 60), None, (64, 104, 88), (190, 190, 194), (222, 178, 150), (120, 78, 40)),
            *(0.78, _CHILD),
        ),
    )
)


def cast_actors(seed: int, cycle: int) -> tuple[Actor, ...]:
    """Return the actors of a cycle; after the first one their shirts and paths vary."""
    rng = np.random.default_rng([seed, 1, cycle])
    return _ACTORS if cycle == 0 else tuple(_vary(actor, rng) for actor in _ACTORS)


def _vary(actor: Actor, rng: np.random.Generator) -> Actor:
    red, green, blue = (float(value) for value in rng.uniform(30, 210, 3))
    shift = float(rng.uniform(-0.015, 0.015))
    marks = tuple(replace(mark, y=mark.y + shift) for mark in actor.marks)
    return replace(actor, clothes=replace(actor.clothes, shirt=(red, green, blue)), marks=marks)


def place_actor(actor: Actor, t: float, body_widths: float) -> Moment | None:
    """Return an actor at share `t` of the cycle; None before the first and after the last mark.

    `body_widths` is a body height in image widths: steps follow the distance, so that feet do not slide.
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
    steps = ((a.x, b.x) for a, b in zip(marks[index::-1], marks[index + 1 : 0 : -1], strict=False))
    stance = Stance(
        gait=np.pi * walked / (STEP * body_widths),
        stride=min(1.0, 0.35 + ends) if is_walking else 0.0,
        crouch=before.crouch + share * (after.crouch - before.crouch),
        facing=next((1.0 if end > start else -1.0 for start, end in steps if end != start), 1.0),
    )
    return Moment(x, y, stance)


def light_at(t: float) -> tuple[float, float]:
    """Return daylight as a factor, and the lamp (0 to its gain), at share `t` of the cycle."""
    daylight = 1 + _DRIFT * float(np.sin(2 * np.pi * t))
    rise, fall = (t - _LAMP_ON) / _LAMP_RISE, (_LAMP_OFF - t) / _LAMP_RISE
    return daylight, _LAMP_GAIN * (min(1.0, max(0.0, rise)) * min(1.0, max(0.0, fall)))
