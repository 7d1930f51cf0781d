"""The cache folder of this user."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """`$MASKMILL_CACHE`, else `$XDG_CACHE_HOME/maskmill/weights`, else `~/.cache/maskmill/weights`."""
    if own := os.environ.get("MASKMILL_CACHE"):
        return Path(own)
    return xdg_cache() / "maskmill" / "weights"


def xdg_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
