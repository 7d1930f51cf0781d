"""Base class of all errors, and the errors of wrong use."""

import re
from collections.abc import Iterator
from typing import ClassVar


class MaskmillError(Exception):
    """Base of all errors. The message names the thing, its value and what to do next."""

    code: ClassVar[str] = "error"
    """Stable name under which a failure is stored and counted: the class name in snake case, or set in the class."""
    advice: ClassVar[str] = "read the message and run again when its cause is gone"
    """What the user can do about any error of this class."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" not in vars(cls):
            cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__.removesuffix("Error")).lower()


class ConfigError(MaskmillError): ...


class UnknownModel(ConfigError): ...


class NoRunYet(ConfigError): ...


def error_classes(base: type[MaskmillError] = MaskmillError) -> Iterator[type[MaskmillError]]:
    """Yield `base` and all classes below it that are imported so far."""
    yield base
    for subclass in base.__subclasses__():
        yield from error_classes(subclass)
