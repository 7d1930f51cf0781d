"""Reading frames, their masks and their decisions."""
