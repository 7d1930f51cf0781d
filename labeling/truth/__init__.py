"""Ground truth: images of which people have said where everybody is."""
