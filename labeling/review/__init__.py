"""Selection of frames for review, and consensus of the annotations that come back."""
