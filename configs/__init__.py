"""What a run is made of: frozen models with their presets."""

from configs.load import load_config
from configs.models import RunConfig

__all__ = ["RunConfig", "load_config"]
