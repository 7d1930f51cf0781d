"""The configuration of a run: frozen models and presets."""

from configs.load import load_config as load_config
from configs.models import RunConfig as RunConfig
