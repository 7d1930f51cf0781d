"""Use cases of dataset versions."""
