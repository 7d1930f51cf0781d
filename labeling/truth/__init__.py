"""Ground truth: pictures of which people have said where everybody is."""
