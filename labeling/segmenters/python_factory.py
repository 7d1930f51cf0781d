"""Segmenters from the user's own Python code: `package.module:factory`, called with options."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from configs.errors import ConfigError, MaskmillError
from configs.segmenters import PythonBlock
from labeling.segmenters.protocol import Segmenter, StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard


def load_factory(block: PythonBlock) -> Segmenter:
    """Import the module, call the factory with the options and check the result.

    A segmenter without `prepare` is used unchanged for every clip. maskmill's own errors pass through.

    Raises:
        ConfigError: there is no such module or function, it failed, or its result lacks a `card` (a
            `ModelCard`) or a `segment` method.
    """
    made = _call(find_factory(block.factory), block)
    card = getattr(made, "card", None)
    if not isinstance(card, ModelCard):
        raise ConfigError(
            f"python: {block.factory} returned a {type(made).__name__} whose card is "
            f"{'missing' if card is None else f'a {type(card).__name__}'}; it must be a "
            "labeling.structures.instances.ModelCard"
        )
    if not callable(getattr(made, "segment", None)):
        raise ConfigError(
            f"python: {block.factory} returned a {type(made).__name__} without a method segment(frames): add it"
        )
    return made if isinstance(made, Segmenter) else _WithPrepare(made)


class _WithPrepare(StatelessSegmenter):
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


def find_factory(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as exc:  # importing a user's module can raise anything
        raise ConfigError(
            f"python: module {module_name!r} of {name} cannot be imported ({type(exc).__name__}: {exc}); "
            "install it, or add its folder to PYTHONPATH"
        ) from exc
    factory = getattr(module, function_name, None)
    if factory is None:
        raise ConfigError(f"python: module {module_name!r} has no {function_name!r}: check `factory`")
    if not callable(factory):
        raise ConfigError(
            f"python: {name} is a {type(factory).__name__}, not a function or class: check `factory`"
        )
    found: Callable[..., Any] = factory
    return found


def _call(factory: Callable[..., Any], block: PythonBlock) -> Any:
    try:
        return factory(**block.options)
    except MaskmillError:
        raise
    except Exception as exc:  # a user's function can raise anything
        raise ConfigError(
            f"python: {block.factory} failed with options {sorted(block.options)}: {type(exc).__name__}: {exc}"
        ) from exc
