"""Constants of configs that reading commands use: `configs.models` takes a tenth of a second to load."""

RUN_ID_LENGTH = 16
"""Hex digits of a run's id."""
HARD_BELOW = 0.5
"""Default union IoU below which a frame is hard."""
