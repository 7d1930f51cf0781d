"""Whether a hard frame's teacher may be believed."""
