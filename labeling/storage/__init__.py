"""The home, the image store and atomic writes."""
