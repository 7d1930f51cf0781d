"""The cache folder of this user."""

from pathlib import Path

import platformdirs

from configs.environment import CACHE


def cache_dir() -> Path:
    """Return the folder for downloaded weights: `$MASKMILL_CACHE`, else `maskmill/weights` in the user's cache folder."""
    return CACHE.read() or platformdirs.user_cache_path("maskmill") / "weights"
