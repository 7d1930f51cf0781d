"""Selection of the frames of a clip."""
