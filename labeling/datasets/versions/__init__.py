"""Dataset versions: which frames are chosen, what identifies them, how two versions differ, and their card."""
