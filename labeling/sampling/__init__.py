"""Which frames of a clip are used."""
