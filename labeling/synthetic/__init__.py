"""A rendered scene with exactly known masks."""
