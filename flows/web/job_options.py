"""What is the same for all jobs of a server."""

from pathlib import Path

from flows.web.jobs import Frozen


class JobOptions(Frozen):
    """What is the same for all jobs of a server; as JSON, it is an argument of each job's process."""

    home: Path
    config: str = "lite"
    """Preset or file whose teacher finds the people."""
    changes: tuple[str, ...] = ()
    """Changed values of the config, as `key=value`."""
    weights: Path | None = None
    """A matting network instead of the one of the package."""
