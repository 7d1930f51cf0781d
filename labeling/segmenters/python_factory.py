"""A segmenter of the user's own: `package.module:factory`, called with options."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from configs.errors import ConfigError, MaskmillError
from configs.segmenters import PythonBlock
from labeling.segmenters.protocol import Segmenter, StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard


def load_factory(block: PythonBlock) -> Segmenter:
    """Import the module, call the factory with the options and check what it gives.

    A segmenter without `prepare` is taken to be the same for every clip.

    Raises:
        ConfigError: no such module or function, it failed, or it gave something without a
            `card` (a `ModelCard`) and a `segment` method. maskmill's own errors pass through.
    """
    made = _call(_find_factory(block.factory), block)
    card = getattr(made, "card", None)
    if not isinstance(card, ModelCard):
        raise ConfigError(
            f"python: {block.factory} gave a {type(made).__name__} whose card is "
            f"{'missing' if card is None else f'a {type(card).__name__}'}; wants a labeling.structures.instances.ModelCard"
        )
    if not callable(getattr(made, "segment", None)):
        raise ConfigError(
            f"python: {block.factory} gave a {type(made).__name__} without a method segment(frames)"
        )
    return made if isinstance(made, Segmenter) else _SameForEveryClip(made)


class _SameForEveryClip(StatelessSegmenter):
    """Adds `prepare` to a segmenter that has none."""

    def __init__(self, segmenter: Any) -> None:
        self._segmenter = segmenter

    @property
    def card(self) -> ModelCard:
        card: ModelCard = self._segmenter.card
        return card

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        instances: list[list[Instance]] = self._segmenter.segment(frames)
        return instances


def _find_factory(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as exc:  # a user's module can fail in any way while it is imported
        raise ConfigError(
            f"python: module {module_name!r} of {name} cannot be imported ({type(exc).__name__}: {exc}); "
            "install it, or add its folder to PYTHONPATH"
        ) from exc
    factory = getattr(module, function_name, None)
    if factory is None:
        raise ConfigError(f"python: module {module_name!r} has no {function_name!r}")
    if not callable(factory):
        raise ConfigError(f"python: {name} is a {type(factory).__name__}, not a function or class")
    found: Callable[..., Any] = factory
    return found


def _call(factory: Callable[..., Any], block: PythonBlock) -> Any:
    try:
        return factory(**block.options)
    except MaskmillError:
        raise
    except Exception as exc:  # a user's function can fail in any way
        raise ConfigError(
            f"python: {block.factory} failed with options {sorted(block.options)}: {type(exc).__name__}: {exc}"
        ) from exc
