"""Uses that the licenses of published weights must permit."""

from typing import Literal

from configs.block import Block, Names

Use = Literal["commercial", "surveillance", "biometric"]


class Licenses(Block):
    """What the labels are made for. Weights whose license forbids it, or is unknown, are refused."""

    use: tuple[Use, ...] = ()
    """`commercial`, `surveillance`, `biometric`: uses that the licenses must permit; empty: none is checked."""
    accepted: Names = ()
    """Models on the hub, as `OWNER/NAME`, whose license you have read and found to permit these uses."""
