"""The configuration of a run: frozen models and presets. The public names are in `maskmill`."""
