"""The base of all errors, and those of wrong use."""

from typing import ClassVar


class MaskmillError(Exception):
    """Base of all errors. The message names the thing, its value and what to do next.

    `code` is the stable word under which a failure is stored and counted.
    """

    code: ClassVar[str] = "error"


class ConfigError(MaskmillError):
    code = "config"


class UnknownModel(ConfigError):
    code = "unknown_model"


class NoRunYet(ConfigError):
    code = "no_run_yet"
