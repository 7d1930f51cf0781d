"""What a run is made of: frozen models with their presets. The public names are in `maskmill`."""
